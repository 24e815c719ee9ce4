import type { Resources } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { requireMemory } from "../../../lib/util/host-memory.ts";
import type { LibvirtEngine } from "../engine.ts";
import { find, parse } from "../xml/document.ts";
import type { Machine } from "../xml/domain.ts";

/**
 * Rejects with INVALID_VALUE what a domain cannot have: more CPUs than its machine type supports, or more
 * memory than the host has. libvirt would define such a domain, but QEMU would not start it.
 */
export async function requireAttainable(
  { connection }: LibvirtEngine,
  machine: Machine,
  { cpus, memory }: Partial<Resources>,
): Promise<void> {
  if (memory !== undefined) {
    requireMemory(memory, await connection.totalMemory());
  }
  if (cpus === undefined) {
    return;
  }
  const capabilities = await connection.domainCapabilities(machine);
  const most = Number(find(await parse(capabilities), "vcpu")?.attributes.max ?? Number.POSITIVE_INFINITY);
  if (cpus > most) {
    const reason = `must be a whole number from 1 to ${most}, the most for this type of machine`;
    throw failure("INVALID_VALUE", { what: "cpus", value: cpus, reason });
  }
}
