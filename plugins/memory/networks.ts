import { randomBytes } from "node:crypto";
import type { Networks, Nic, NicSpec } from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { type Locks, lockedInstance, requireStopped } from "./lock.ts";
import type { World } from "./world.ts";

const NETWORKS = [
  { name: "default", type: "nat", description: "a network in memory" },
  { name: "lan", type: "bridge", description: "another network in memory" },
];

/** An interface with an address of its own where none is asked for. */
export function toNic({ network, mac = newMac() }: NicSpec): Nic {
  if (!NETWORKS.some(({ name }) => name === network)) {
    throw failure("ENGINE_ERROR", { engine: "memory", reason: `the network "${network}" is not defined` });
  }
  return { network, mac };
}

export function newMac(): string {
  return ["52", "54", "00", ...(randomBytes(3).toString("hex").match(/../g) ?? [])].join(":");
}

export function networkGroup(world: World, locks: Locks): Networks {
  return {
    list: async () => NETWORKS,
    async attach(lock, nic) {
      const stored = await lockedInstance(world, locks, lock);
      requireStopped(stored, "Interfaces can be added only to stopped instances");
      world.step("attach");
      await world.put({ ...stored, nics: [...stored.nics, toNic(nic)] });
    },
  };
}
