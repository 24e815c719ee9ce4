import { z } from "zod";
import type { NicSpec } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import type { LxdEngine } from "../engine.ts";
import { isStatus } from "../errors.ts";
import { type Devices, networkShape, poolShape, profileShape } from "../rest/shapes.ts";
import { DEFAULT_NIC, newMac, nicName } from "./devices.ts";

/** Where new instances go: the pool of their root disk, and their network (undefined for none). */
export interface Placement {
  readonly pool: { readonly name: string; readonly driver: string };
  readonly network: string | undefined;
}

/**
 * As configured in the settings, or else in the profile `default` (as LXD's own client does), or else the
 * only one that exists.
 */
export async function placement(engine: LxdEngine): Promise<Placement> {
  const devices = Object.values(await defaultDevices(engine));
  const pool =
    engine.settings.pool ||
    devices.find(({ type, path }) => type === "disk" && path === "/")?.pool ||
    (await onlyPool(engine));
  const nic = devices.find(({ type }) => type === "nic");
  const network = engine.settings.network || nic?.network || nic?.parent || (await onlyNetwork(engine));
  return { pool: await readPool(engine, pool), network };
}

async function defaultDevices({ client }: LxdEngine) {
  try {
    return (await client.get("/1.0/profiles/default", profileShape)).value.devices;
  } catch (error) {
    if (isStatus(error, 404)) {
      return {};
    }
    throw error;
  }
}

async function onlyPool({ client, flavour }: LxdEngine): Promise<string> {
  const { value } = await client.get("/1.0/storage-pools", z.array(poolShape), { query: { recursion: "1" } });
  const [first, second] = value;
  if (first !== undefined && second === undefined) {
    return first.name;
  }
  const { title, name, client: command } = flavour;
  throw failure("UNSUPPORTED", {
    what: "making an instance",
    engine: title,
    reason:
      first === undefined
        ? `it has no storage pool yet; create one: ${command} storage create default btrfs`
        : `it has several storage pools; choose one: strata set local.${name}.pool=${first.name}`,
  });
}

async function readPool({ client, flavour }: LxdEngine, name: string): Promise<Placement["pool"]> {
  try {
    return (await client.get(`/1.0/storage-pools/${encodeURIComponent(name)}`, poolShape)).value;
  } catch (error) {
    if (!isStatus(error, 404)) {
      throw error;
    }
    throw failure(
      "INVALID_VALUE",
      {
        what: `local.${flavour.name}.pool`,
        value: name,
        reason: `must be the name of a storage pool of ${flavour.title}`,
      },
      error,
    );
  }
}

/** The only bridge that LXD manages, if there is just one. */
async function onlyNetwork(engine: LxdEngine): Promise<string | undefined> {
  const bridges = (await listNetworks(engine)).filter(({ managed, type }) => managed && type === "bridge");
  return bridges.length === 1 ? bridges[0]?.name : undefined;
}

/**
 * Devices for the default interface, if there is a network for it, and for further ones; `first` is the
 * number of the first of these. Rejects with INVALID_VALUE for an unknown network.
 */
export async function nicDevices(
  engine: LxdEngine,
  wanted: {
    readonly network?: string | undefined;
    readonly nics: readonly NicSpec[];
    readonly first?: number;
  },
): Promise<Devices> {
  const { network, nics, first = 1 } = wanted;
  if (network === undefined && nics.length === 0) {
    return {};
  }
  const known = await listNetworks(engine);
  const on = (name: string, inside: string) => {
    const found = known.find((each) => each.name === name);
    if (found === undefined) {
      throw failure("INVALID_VALUE", {
        what: "the network",
        value: name,
        reason: `must be one of ${known.map((each) => each.name).join(", ") || "none"}`,
      });
    }
    const place = found.managed ? { network: name } : { nictype: "bridged", parent: name };
    return { type: "nic", name: inside, ...place };
  };
  return Object.fromEntries([
    ...(network === undefined ? [] : [[DEFAULT_NIC, on(network, DEFAULT_NIC)]]),
    ...nics.map(({ network: name, mac = newMac() }, index) => [
      nicName(first + index),
      { ...on(name, `eth${first + index}`), hwaddr: mac },
    ]),
  ]);
}

/** Networks that instances can be on: LXD's own, then bridges of the host. */
export async function listNetworks({ client }: LxdEngine) {
  const { value } = await client.get("/1.0/networks", z.array(networkShape), { query: { recursion: "1" } });
  return value
    .filter(({ managed, type }) => managed || type === "bridge")
    .sort((a, b) => Number(b.managed) - Number(a.managed));
}
