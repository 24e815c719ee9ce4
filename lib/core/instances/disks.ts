import type { Context, Disk, Instance, Lock } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import { SYSTEM_DISK } from "../api/disks.ts";
import type { CallOptions, DiskInfo } from "../api/strata.ts";
import { requireFeature, requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { getInstance, requireStopped, whileLocked } from "./instances.ts";
import { requireDisk, resize } from "./resources.ts";

/** The smallest further disk, bytes. */
const MIN_EXTRA_DISK = 1024n ** 2n;

const WHAT = "having further disks";

function groupOf(session: Session) {
  return requireGroup(session, "disks", WHAT, ({ disks }) => disks);
}

/** Rejects further disks that a new instance cannot have. */
export async function checkExtraDisks(session: Session, sizes: readonly bigint[]): Promise<void> {
  sizes.forEach(checkSize);
  if (sizes.length > 0) {
    await requireFeature(session, "disks", WHAT);
  }
}

function checkSize(size: bigint): void {
  if (size < MIN_EXTRA_DISK) {
    throw failure("SIZE_TOO_SMALL", { kind: "disk", value: size, minimum: "1M" });
  }
}

/** The disks of an instance, the system disk first. */
export async function disks(session: Session, name: string): Promise<DiskInfo[]> {
  const { resources } = await getInstance(session, name);
  const system = { name: SYSTEM_DISK, size: resources.disk, excluded: false };
  return [system, ...(resources.disks ?? []).map(toInfo)];
}

function toInfo({ name, size, excluded }: Disk): DiskInfo {
  return { name, size, excluded: excluded === true };
}

/** Adds an empty disk to a stopped instance. */
export async function addDisk(
  session: Session,
  name: string,
  size: bigint,
  call?: CallOptions,
): Promise<DiskInfo> {
  checkSize(size);
  return changeDisks(session, name, "Disks can be added only to stopped instances", call, (...on) =>
    add(session, size, ...on),
  );
}

async function add(session: Session, size: bigint, lock: Lock, context: Context): Promise<DiskInfo> {
  const group = await groupOf(session);
  context.progress({ phase: "Adding disk" });
  return toInfo(await group.add(lock, size, context));
}

/** Makes a disk of a stopped instance larger. */
export async function growDisk(
  session: Session,
  name: string,
  disk: string,
  size: bigint,
  call?: CallOptions,
): Promise<void> {
  const change = disk === SYSTEM_DISK ? { disk: size } : { disks: [{ name: disk, size }] };
  await resize(session, name, change, call);
}

const ONLY_STOPPED = "Disks can be removed only from stopped instances";

/** Removes a disk from a stopped instance. */
export async function removeDisk(
  session: Session,
  name: string,
  disk: string,
  call?: CallOptions,
): Promise<void> {
  await changeDisks(session, name, ONLY_STOPPED, call, async (lock, context) => {
    const group = await groupOf(session);
    await requireDisk(lock.instance, disk);
    context.progress({ phase: "Removing disk" });
    await group.remove(lock, disk, context);
  });
}

/** Rejects like a removal, as far as this can be checked without a lock. */
export async function checkRemoveDisk(session: Session, name: string, disk: string): Promise<void> {
  await groupOf(session);
  const instance = await getInstance(session, name);
  await requireDisk(instance, disk);
  requireStopped(instance, ONLY_STOPPED);
  const { snapshots } = await (await session.engine()).snapshots.tree(instance.id);
  const holder = snapshots.find(({ resources }) =>
    resources.disks?.some((each) => each.name === disk && each.excluded !== true),
  );
  if (holder !== undefined) {
    throw failure("DISK_IN_SNAPSHOT", { name, disk, snapshot: holder.name });
  }
}

/** Leaves a disk out of the snapshots of an instance, or has them cover it again. */
export async function excludeDisk(
  session: Session,
  name: string,
  disk: string,
  excluded: boolean,
  call?: CallOptions,
): Promise<void> {
  const context = contextOf(call);
  const group = await groupOf(session);
  await whileLocked(session, { name }, context, async (lock) => {
    await requireDisk(lock.instance, disk);
    await group.exclude(lock, disk, excluded, context);
  });
}

async function changeDisks<T>(
  session: Session,
  name: string,
  reason: string,
  call: CallOptions | undefined,
  work: (lock: Lock, context: Context) => Promise<T>,
): Promise<T> {
  const context = contextOf(call);
  await groupOf(session);
  return whileLocked(session, { name }, context, async (lock) => {
    requireStopped(lock.instance, reason);
    return work(lock, context);
  });
}

/** Says of each excluded disk that snapshots do not have it. */
export function warnOfExcluded({ name, resources }: Instance, context: Context): void {
  for (const disk of resources.disks ?? []) {
    if (disk.excluded === true) {
      context.warn?.(
        `disk ${disk.name} of "${name}" is excluded: snapshots do not have its contents, and restores leave it as it is`,
      );
    }
  }
}
