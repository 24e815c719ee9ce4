import type { Disk, Instance, ResourceChange } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import { nearDetail } from "../../util/nearest.ts";
import type { CallOptions } from "../api/strata.ts";
import { requireFeature } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { requireStopped, whileLocked } from "./instances.ts";

const MIB = 1024n ** 2n;
/** Minimum sizes of an instance, bytes. */
export const MIN_MEMORY = 128n * MIB;
export const MIN_DISK = 512n * MIB;
/** No machine has more; this catches typing errors before an engine does. */
const MAX_CPUS = 1024;

export function checkCpus(cpus: number): void {
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > MAX_CPUS) {
    throw failure("INVALID_VALUE", {
      what: "cpus",
      value: cpus,
      reason: `must be a whole number from 1 to ${MAX_CPUS}`,
    });
  }
}

export function checkMemory(memory: bigint): void {
  if (memory < MIN_MEMORY) {
    throw failure("SIZE_TOO_SMALL", { kind: "memory", value: memory, minimum: "128M" });
  }
}

/** Rejects with DISK_NOT_FOUND, perhaps with a disk of a similar name, unless the instance has that further disk. */
export async function requireDisk({ name, resources }: Instance, disk: string): Promise<Disk> {
  const disks = resources.disks ?? [];
  const found = disks.find((each) => each.name === disk);
  if (found === undefined) {
    throw failure("DISK_NOT_FOUND", {
      name,
      disk,
      ...(await nearDetail(disk, () => disks.map((each) => each.name))),
    });
  }
  return found;
}

/** Changes CPUs, memory or disks of a stopped instance; disks only grow. */
export async function resize(
  session: Session,
  name: string,
  change: ResourceChange,
  call?: CallOptions,
): Promise<void> {
  if (change.cpus !== undefined) {
    checkCpus(change.cpus);
  }
  if (change.memory !== undefined) {
    checkMemory(change.memory);
  }
  if (change.disks !== undefined) {
    await requireFeature(session, "disks", "having further disks");
  }
  const context = contextOf(call);
  const { instances } = await session.engine();
  await whileLocked(session, { name }, context, async (lock) => {
    requireStopped(lock.instance, "Only stopped instances can be resized");
    const { disk } = lock.instance.resources;
    if (change.disk !== undefined && change.disk < disk) {
      throw failure("DISK_SHRINK", { name, current: disk, wanted: change.disk });
    }
    for (const { name: disk, size } of change.disks ?? []) {
      const current = (await requireDisk(lock.instance, disk)).size;
      if (size < current) {
        throw failure("DISK_SHRINK", { name, disk, current, wanted: size });
      }
    }
    await instances.resize(lock, change, context);
  });
}
