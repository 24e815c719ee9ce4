import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import type { SshAccess } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { getManaged, type LibvirtEngine, type Managed } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import type { Element } from "../xml/document.ts";
import { readInterfaces } from "../xml/domain.ts";

/** Reads each network's leases once. */
export type LeaseReader = (
  network: string,
) => Promise<readonly { mac: string; ip: string; expiry: bigint }[]>;

export function leaseReader(engine: LibvirtEngine): LeaseReader {
  const read = new Map<string, ReturnType<LeaseReader>>();
  return (network) => {
    const known = read.get(network) ?? readLeases(engine, network);
    read.set(network, known);
    return known;
  };
}

async function readLeases(engine: LibvirtEngine, name: string) {
  try {
    const network = await engine.connection.lookupNetworkByName(name);
    const leases = await network.dhcpLeases();
    return leases.map((lease) => ({ mac: lease.mac ?? "", ip: lease.ip, expiry: lease.expiryTime }));
  } catch (error) {
    // Without its network, an instance has no addresses, but still exists.
    if (isLibvirt(error, "NO_NETWORK", "OPERATION_INVALID")) {
      return [];
    }
    throw error;
  }
}

/** IPv4 addresses that the networks leased to the domain, the newest lease of each interface first. */
export async function addressesOf(managed: Managed, leases: LeaseReader): Promise<string[]> {
  const addresses: string[] = [];
  for (const { mac, network } of readInterfaces(managed.document)) {
    const own = (await leases(network)).filter((lease) => lease.mac.toLowerCase() === mac.toLowerCase());
    own.sort((a, b) => Number(b.expiry - a.expiry));
    addresses.push(...own.map((lease) => lease.ip).filter((ip) => !ip.includes(":")));
  }
  return [...new Set(addresses)];
}

/** How to reach the guest's sshd: at its leased address or, in session mode, through the forwarded port. */
export function sshAccess(engine: LibvirtEngine): SshAccess {
  return {
    via: "ssh",
    endpoint: async (id) => {
      const managed = await getManaged(engine, id);
      if (!(await managed.domain.isActive())) {
        return null;
      }
      const { sshPort } = managed.metadata;
      if (sshPort !== undefined) {
        return { host: "127.0.0.1", port: sshPort };
      }
      const [host] = await addressesOf(managed, leaseReader(engine));
      return host === undefined ? null : { host, port: 22 };
    },
  };
}

/** Starts the network that new instances use, if it is defined but not active. */
export async function ensureNetwork(engine: LibvirtEngine, name: string): Promise<void> {
  try {
    const network = await engine.connection.lookupNetworkByName(name);
    if (!(await network.isActive())) {
      await network.create();
    }
  } catch (error) {
    if (isLibvirt(error, "NO_NETWORK")) {
      throw failure(
        "ENGINE_ERROR",
        {
          engine: "libvirt",
          reason: `the network "${name}" is not defined; see \`strata doctor\``,
        },
        error,
      );
    }
    throw error;
  }
}

/** Starts the networks of a domain, as `ensureNetwork` does each. */
export async function ensureNetworks(engine: LibvirtEngine, document: Element): Promise<void> {
  for (const name of new Set(readInterfaces(document).map(({ network }) => network))) {
    await ensureNetwork(engine, name);
  }
}

/** What a new instance is connected to: in session mode its sshd is reached by a forwarded port. */
export async function newConnection(engine: LibvirtEngine) {
  return engine.session
    ? ({ kind: "user", port: await freePort() } as const)
    : ({ kind: "network", name: engine.settings.network || "default" } as const);
}

/** A TCP port of 127.0.0.1 that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === "string") {
    throw failure("INTERNAL", { reason: "the system assigned no port" });
  }
  return address.port;
}

/** A MAC address in QEMU's range. */
export function newMac(): string {
  return ["52", "54", "00", ...(randomBytes(3).toString("hex").match(/../g) ?? [])].join(":");
}
