/** What differs between LXD's virtual machines and its containers. */

import { z } from "zod";
import type { InstanceSpec, Resources, Seed, SshAccess } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { requireMemory } from "../../../lib/util/host-memory.ts";
import { DEFAULT_NIC } from "../domain/devices.ts";
import { getManaged, type Managed } from "../domain/managed.ts";
import { readState, toInstance } from "../domain/view.ts";
import type { LxdEngine } from "../engine.ts";
import type { Client } from "../rest/client.ts";
import { type Config, type Devices, resourcesShape, warningShape } from "../rest/shapes.ts";

/** A disk that UEFI boots. */
export const DISK_FORMAT = "qcow2";

/** The device with cloud-init's data for a virtual machine; its guest does not need LXD's agent for that. */
export const SEED_DEVICE: Devices = { "strata-seed": { type: "disk", source: "cloud-init:config" } };

export function isMachine({ instance }: Pick<Managed, "instance">): boolean {
  return instance.type === "virtual-machine";
}

/** Answers whether there can be virtual machines. */
type Server = Pick<LxdEngine, "server"> & { readonly client: Pick<Client, "get"> };

/** Why strata creates no virtual machines on the server; null if it does. */
export async function machineRefusal(engine: Server): Promise<string | null> {
  const { environment } = await engine.server();
  return runsMachines(environment.driver)
    ? null
    : `the server cannot run virtual machines${await why(engine)}`;
}

export function runsMachines(driver: string): boolean {
  return /\bqemu\b/.test(driver);
}

/** LXD's own reason, in parentheses. */
async function why({ client }: Server): Promise<string> {
  const warnings = await client
    .get("/1.0/warnings", z.array(warningShape), { query: { recursion: "1" } })
    .then(
      ({ value }) => value,
      () => [],
    );
  const found = warnings.find(({ type }) => type === "Instance type not operational");
  return found?.last_message ? ` (${found.last_message})` : "";
}

/** Rejects with UNSUPPORTED a virtual machine that cannot be created as requested. */
export async function requireMachine(
  engine: LxdEngine,
  { mounts, networks, resources, member }: Pick<InstanceSpec, "mounts" | "networks" | "resources" | "member">,
): Promise<void> {
  const reason = await machineRefusal(engine);
  if (reason !== null) {
    throw failure("UNSUPPORTED", { what: "a virtual machine", engine: engine.flavour.title, reason });
  }
  if (mounts.length > 0) {
    throw noMounts(engine);
  }
  if (networks.length > 0) {
    throw noInterfaces(engine);
  }
  await requireAttainable(engine, resources, member);
}

/** Without a network it could not be reached. */
export function requireNetwork({ flavour }: LxdEngine, interfaces: Devices): void {
  if (interfaces[DEFAULT_NIC] !== undefined) {
    return;
  }
  const { client, bridge, title: engine } = flavour;
  const reason = `it must have a network to be reachable; create one: ${client} network create ${bridge}`;
  throw failure("UNSUPPORTED", { what: "a virtual machine", engine, reason });
}

/**
 * Rejects with INVALID_VALUE what a virtual machine on that member of a cluster cannot have: LXD would accept it
 * and then not start it.
 */
export async function requireAttainable(
  { client }: LxdEngine,
  { cpus, memory }: Partial<Resources>,
  member: string | undefined,
): Promise<void> {
  if (cpus === undefined && memory === undefined) {
    return;
  }
  // Where LXD chooses the member, the one that answers stands for all.
  const host = (await client.get("/1.0/resources", resourcesShape, { query: { target: member } })).value;
  if (cpus !== undefined && cpus > host.cpu.total) {
    const reason = `must be a whole number from 1 to ${host.cpu.total}, all that the host has`;
    throw failure("INVALID_VALUE", { what: "cpus", value: cpus, reason });
  }
  if (memory !== undefined) {
    requireMemory(memory, BigInt(host.memory.total));
  }
}

export function noMounts({ flavour }: LxdEngine) {
  const reason = "only containers can have mounts; `strata transfer` copies files into virtual machines";
  return failure("UNSUPPORTED", { what: "the mount", engine: flavour.title, reason });
}

export function noInterfaces({ flavour }: LxdEngine) {
  const reason = "only containers can have further interfaces";
  return failure("UNSUPPORTED", { what: "a further interface", engine: flavour.title, reason });
}

/** Images that were built here are not signed. */
export function machineKeys(seed: Seed): Config {
  return { "security.secureboot": "false", ...metaKeys(seed) };
}

/** LXD writes its own lines before, with the name as the id; the last one counts. */
export function metaKeys({ metaData }: Seed): Config {
  return { "user.meta-data": metaData };
}

/** How a virtual machine is reached; null for a container, which LXD itself reaches. */
export async function machineAccess(engine: LxdEngine, id: string): Promise<SshAccess | null> {
  const managed = await getManaged(engine, id);
  return isMachine(managed) ? { via: "ssh", endpoint: (of) => endpoint(engine, of) } : null;
}

/** At the address that its network has leased to it. */
async function endpoint(engine: LxdEngine, id: string) {
  const managed = await getManaged(engine, id);
  if (readState(managed.instance.status) !== "running") {
    return null;
  }
  const [host] = toInstance(managed).addresses;
  return host === undefined ? null : { host, port: 22 };
}
