import { readFile } from "node:fs/promises";
import { isIPv4 } from "node:net";
import type { Finding } from "../../../lib/engine/contract.ts";
import type { LibvirtEngine } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import type { Network } from "../rpc/index.ts";
import { type Element, elements, parse, serialize } from "../xml/document.ts";

/** A route of this host: a part of the IPv4 addresses, and the interface that leads there. */
export interface Route {
  readonly device: string;
  /** The first address, as a number. */
  readonly start: number;
  /** Length of the prefix, bits. */
  readonly prefix: number;
}

/** The routes in the text of /proc/net/route, without the default route. */
export function parseRoutes(text: string): Route[] {
  return text
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .flatMap(([device = "", destination = "", , , , , , mask = ""]) => {
      const start = fromLittleEndian(destination);
      const prefix = bitsOf(fromLittleEndian(mask));
      return Number.isNaN(start) || prefix === 0 ? [] : [{ device, start, prefix }];
    });
}

function fromLittleEndian(hex: string): number {
  return /^[0-9A-F]{8}$/i.test(hex) ? Buffer.from(hex, "hex").readUInt32LE(0) : Number.NaN;
}

function bitsOf(mask: number): number {
  return Number.isNaN(mask) ? 0 : mask.toString(2).replace(/0+$/, "").length;
}

/** The first IPv4 subnet of a network's definition, if its prefix is 24 bits long; null for any other. */
export function readSubnet(network: Element): Pick<Route, "start" | "prefix"> | null {
  const ip = elements(network, "ip").find(({ attributes }) => isIPv4(attributes.address ?? ""));
  const { address = "", netmask, prefix } = ip?.attributes ?? {};
  const is24 = prefix === "24" || netmask === "255.255.255.0";
  return is24 ? { start: (toNumber(address) & 0xffffff00) >>> 0, prefix: 24 } : null;
}

function toNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function overlaps(a: Pick<Route, "start" | "prefix">, b: Pick<Route, "start" | "prefix">): boolean {
  const shift = 32 - Math.min(a.prefix, b.prefix);
  return shift === 32 || a.start >>> shift === b.start >>> shift;
}

/** The first subnet 192.168.N.0/24 above libvirt's own that nothing leads to; null if all are taken. */
export function freeSubnet(taken: readonly Pick<Route, "start" | "prefix">[]): string | null {
  for (let part = 123; part < 255; part += 1) {
    const start = toNumber(`192.168.${part}.0`);
    if (!taken.some((each) => overlaps(each, { start, prefix: 24 }))) {
      return `192.168.${part}`;
    }
  }
  return null;
}

/** Moves all addresses of a network's subnet to another one, given by its first three parts. */
export function moveSubnet(network: Element, to: string): void {
  const ip = elements(network, "ip").find(({ attributes }) => isIPv4(attributes.address ?? ""));
  const from = (ip?.attributes.address ?? "").replace(/\.\d+$/, "");
  const move = (of: Element) => {
    for (const name of ["address", "start", "end", "ip"]) {
      const value = of.attributes[name];
      if (value !== undefined && value.replace(/\.\d+$/, "") === from) {
        of.attributes[name] = value.replace(from, to);
      }
    }
    of.children.filter((child) => typeof child !== "string").forEach(move);
  };
  if (ip !== undefined) {
    move(ip);
  }
}

interface Taken {
  readonly network: Network;
  readonly document: Element;
  readonly device: string;
  readonly free: string | null;
}

/** The network for instances, if it cannot start because its subnet leads elsewhere on this host. */
async function findTaken(engine: LibvirtEngine, routes: readonly Route[]): Promise<Taken | undefined> {
  const name = engine.settings.network || "default";
  const network = await engine.connection.lookupNetworkByName(name).catch((error: unknown) => {
    if (isLibvirt(error, "NO_NETWORK")) {
      return undefined;
    }
    throw error;
  });
  if (network === undefined || (await network.isActive())) {
    return undefined;
  }
  const document = await parse(await network.getXml());
  const subnet = readSubnet(document);
  const route = subnet === null ? undefined : routes.find((each) => overlaps(each, subnet));
  if (route === undefined) {
    return undefined;
  }
  const others = await Promise.all(
    (await engine.connection.listNetworks()).map(async (each) =>
      readSubnet(await parse(await each.getXml())),
    ),
  );
  const free = freeSubnet([...routes, ...others.filter((each) => each !== null)]);
  return { network, document, device: route.device, free };
}

/** This host's routes. */
export async function readRoutes(): Promise<Route[]> {
  return parseRoutes(await readFile("/proc/net/route", "utf8").catch(() => ""));
}

/** The finding that the subnet of the network for instances is taken. */
export async function findTakenSubnet(
  engine: LibvirtEngine,
  routes: readonly Route[] | undefined = undefined,
): Promise<Finding[]> {
  const taken = engine.session ? undefined : await findTaken(engine, routes ?? (await readRoutes()));
  if (taken === undefined) {
    return [];
  }
  const { network, device, free } = taken;
  const detail = `the network "${network.name}" cannot start: its subnet is in use on this host, by ${device}`;
  const finding = { kind: "subnet-taken", subject: network.name, detail };
  return [free === null ? finding : { ...finding, repair: `give it ${free}.0/24, and start it` }];
}

/** Gives the network a subnet that is free, and starts it. False if that is not needed any more. */
export async function repairSubnet(
  engine: LibvirtEngine,
  routes: readonly Route[] | undefined = undefined,
): Promise<boolean> {
  const taken = await findTaken(engine, routes ?? (await readRoutes()));
  if (taken === undefined || taken.free === null) {
    return false;
  }
  moveSubnet(taken.document, taken.free);
  await (await engine.connection.defineNetwork(serialize(taken.document))).create();
  return true;
}
