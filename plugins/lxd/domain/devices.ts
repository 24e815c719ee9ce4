import { randomBytes } from "node:crypto";
import type { Nic, Resources } from "../../../lib/engine/contract.ts";
import type { Config, Devices } from "../rest/shapes.ts";

/** Name of the root disk of strata's instances. */
export const ROOT = "root";
/**
 * Name of the default interface. LXD chooses its address, which stays the same for the life of an instance.
 */
export const DEFAULT_NIC = "eth0";
/** Further interfaces are named `strata-nic-1` and so on. */
const NIC = /^strata-nic-(\d+)$/;

const UNITS: Readonly<Record<string, bigint>> = {
  "": 1n,
  B: 1n,
  kB: 1000n,
  MB: 1000n ** 2n,
  GB: 1000n ** 3n,
  TB: 1000n ** 4n,
  KiB: 1024n,
  MiB: 1024n ** 2n,
  GiB: 1024n ** 3n,
  TiB: 1024n ** 4n,
};

/** Parses LXD's notation of a size, in bytes; 0 for none, and for one that is not fixed, such as "50%". */
export function readSize(text: string | undefined): bigint {
  const [, digits, unit = ""] = /^(\d+)\s*([A-Za-z]*)$/.exec(text ?? "") ?? [];
  const factor = UNITS[unit];
  return digits === undefined || factor === undefined ? 0n : BigInt(digits) * factor;
}

/** Parses a number of CPUs: a count, or a set such as "0-2,5" of pinned CPUs. 0 if there is none. */
export function readCpus(text: string | undefined): number {
  if (text === undefined || text === "") {
    return 0;
  }
  if (/^\d+$/.test(text)) {
    return Number(text);
  }
  let count = 0;
  for (const part of text.split(",")) {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? [];
    if (first === undefined || last === undefined) {
      return 0;
    }
    count += Number(last) - Number(first) + 1;
  }
  return count;
}

export function readResources(config: Config, devices: Devices): Resources {
  return {
    cpus: readCpus(config["limits.cpu"]),
    memory: readSize(config["limits.memory"]),
    disk: readSize(devices[ROOT]?.size),
  };
}

/** Config keys for a change of CPUs and memory. */
export function limitKeys({ cpus, memory }: Partial<Resources>): Config {
  return {
    ...(cpus === undefined ? {} : { "limits.cpu": String(cpus) }),
    ...(memory === undefined ? {} : { "limits.memory": String(memory) }),
  };
}

/** Further interfaces, in their order. */
export function readNics(devices: Devices): Nic[] {
  return Object.entries(devices)
    .flatMap(([name, { network, parent = "", hwaddr = "" }]) => {
      const order = NIC.exec(name)?.[1];
      return order === undefined ? [] : [{ order: Number(order), network: network ?? parent, mac: hwaddr }];
    })
    .sort((a, b) => a.order - b.order)
    .map(({ network, mac }) => ({ network, mac }));
}

export function nicName(number: number): string {
  return `strata-nic-${number}`;
}

/** A MAC address in the range that LXD itself uses. */
export function newMac(): string {
  return ["00", "16", "3e", ...(randomBytes(3).toString("hex").match(/../g) ?? [])].join(":");
}
