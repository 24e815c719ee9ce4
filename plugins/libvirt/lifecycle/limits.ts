import type { Resources } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { requireMemory } from "../../../lib/util/host-memory.ts";
import type { LibvirtEngine } from "../engine.ts";
import { find, parse } from "../xml/document.ts";
import type { Machine } from "../xml/domain.ts";

/** CPUs of an instance for each of the host's, where the setting says nothing. */
export const CPU_OVERCOMMIT = 4;

/**
 * Rejects with INVALID_VALUE what a domain cannot have: more CPUs than its machine type supports. libvirt would
 * define such a domain, but QEMU would not start it. Rejects typing errors that would overload the host as well:
 * more memory, or more CPUs for each of the host's, than the settings allow.
 */
export async function requireAttainable(
  { connection, settings }: LibvirtEngine,
  machine: Machine,
  { cpus, memory }: Partial<Resources>,
): Promise<void> {
  if (memory !== undefined) {
    const factor = BigInt(settings["memory-overcommit"] || 1);
    const why = factor === 1n ? "all that the host has" : `${factor} times what the host has`;
    const most = (await connection.totalMemory()) * factor;
    requireMemory(memory, most, `${why}; the setting local.libvirt.memory-overcommit allows more`);
  }
  if (cpus === undefined) {
    return;
  }
  const capabilities = await connection.domainCapabilities(machine);
  const most = Number(find(await parse(capabilities), "vcpu")?.attributes.max ?? Number.POSITIVE_INFINITY);
  const refuse = (limit: number, why: string) =>
    failure("INVALID_VALUE", {
      what: "cpus",
      value: cpus,
      reason: `must be a whole number from 1 to ${limit}, ${why}`,
    });
  if (cpus > most) {
    throw refuse(most, "the most for this type of machine");
  }
  const factor = Number(settings["cpu-overcommit"] || CPU_OVERCOMMIT);
  const host = (await connection.nodeInfo()).cpus;
  if (cpus > host * factor) {
    const each = `${factor} for each of the host's ${host}`;
    throw refuse(host * factor, `${each}; the setting local.libvirt.cpu-overcommit allows more`);
  }
}
