import type {
  Context,
  Disk,
  Instance,
  Lock,
  SnapshotOutline,
  Snapshots,
  SnapshotTree,
} from "../../engine/contract.ts";
import { checkEach } from "../../errors/check-each.ts";
import { failure } from "../../errors.ts";
import { defined } from "../../util/defined.ts";
import { fewAtOnce } from "../../util/few-at-once.ts";
import type {
  CallOptions,
  DiskChange,
  EachOptions,
  Ref,
  RestoreOptions,
  RestorePlan,
  SnapshotRef,
  SnapshotTreeInfo,
  TakeOptions,
} from "../api/strata.ts";
import { warnOfExcluded } from "../instances/disks.ts";
import {
  getInstance,
  getInstances,
  requireStopped,
  unlessGone,
  whileLocked,
} from "../instances/instances.ts";
import { requireDisk } from "../instances/resources.ts";
import { requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { diskChanges } from "./disk-changes.ts";
import { snapshotNotFound } from "./missing.ts";
import { checkName, nextSnapshot } from "./names.ts";
import { outlineOf } from "./outline.ts";
import { planRemoval } from "./plan.ts";
import { snapshotRef } from "./ref.ts";
import { childrenOf } from "./tree.ts";

/** Trees of the named instances, or of all that are not deleted. */
export async function snapshots(session: Session, names?: readonly string[]): Promise<SnapshotTreeInfo[]> {
  const engine = await session.engine();
  const chosen =
    names === undefined
      ? (await engine.instances.list()).filter(({ record }) => !record.deleted)
      : await getInstances(session, names, { deleted: "allowed" });
  const call: EachOptions = names === undefined ? { skipMissing: true } : {};
  const trees = await fewAtOnce(chosen, (instance) =>
    unlessGone(call, async () => toInfo(instance, await treeOf(session, instance))),
  );
  return trees.filter((tree) => tree !== undefined).sort((a, b) => (a.instance < b.instance ? -1 : 1));
}

async function treeOf(session: Session, { id, snapshotCount }: Instance): Promise<SnapshotTree> {
  if (snapshotCount === 0) {
    return { snapshots: [], standsOn: null };
  }
  return (await session.engine()).snapshots.tree(id);
}

function toInfo({ name: instance }: Instance, tree: SnapshotTree): SnapshotTreeInfo {
  return {
    instance,
    standsOn: tree.standsOn,
    snapshots: tree.snapshots.map((snapshot) => ({
      instance,
      name: snapshot.name,
      comment: snapshot.comment,
      parent: snapshot.parent,
      children: childrenOf(tree.snapshots, snapshot.name),
      createdAt: snapshot.createdAt,
      ...snapshot.resources,
      mounts: snapshot.mounts,
      size: snapshot.size,
    })),
  };
}

/** Rejects with SNAPSHOT_NOT_FOUND, naming both, unless the snapshot exists. */
export async function requireSnapshot(
  { names }: SnapshotOutline,
  name: string,
  snapshot: string,
): Promise<void> {
  if (!names.includes(snapshot)) {
    throw await snapshotNotFound(name, snapshot, () => names);
  }
}

/** Takes a snapshot of a stopped instance. */
export async function snapshot(
  session: Session,
  name: string,
  options: TakeOptions = {},
  call?: CallOptions,
): Promise<SnapshotRef> {
  if (options.name !== undefined) {
    checkName("snapshot", options.name);
  }
  const context = contextOf(call);
  return whileLocked(session, { name }, context, async (lock) => {
    requireStopped(lock.instance, "Only stopped instances can be snapshotted");
    const taken = await excluding(session, lock, options.exclude ?? [], context, (disks) =>
      take(session, lock, { ...options, disks }, context),
    );
    return snapshotRef(name, taken);
  });
}

/** Excludes disks for good before something is done, and for nothing where that fails. */
async function excluding<T>(
  session: Session,
  lock: Lock,
  names: readonly string[],
  context: Context,
  work: (disks: readonly Disk[] | undefined) => Promise<T>,
): Promise<T> {
  const { disks } = lock.instance.resources;
  if (names.length === 0) {
    return work(disks);
  }
  const { exclude } = await requireGroup(session, "disks", "excluding disks", (engine) => engine.disks);
  const wanted = await checkEach(new Set(names), (name) => requireDisk(lock.instance, name));
  const changed = wanted.filter(({ excluded }) => excluded !== true).map(({ name }) => name);
  try {
    for (const name of changed) {
      await exclude(lock, name, true, context);
    }
    return await work(
      disks?.map((disk) => (changed.includes(disk.name) ? { ...disk, excluded: true } : disk)),
    );
  } catch (error) {
    for (const name of changed) {
      await exclude(lock, name, false, contextOf());
    }
    throw error;
  }
}

/** The parent is the current snapshot: last taken or restored. */
async function take(
  session: Session,
  lock: Lock,
  options: { readonly name?: string; readonly comment?: string; readonly disks: readonly Disk[] | undefined },
  context: Context,
): Promise<string> {
  const { snapshots: group } = await session.engine();
  const { id, record, mounts, nics } = lock.instance;
  const resources = { ...lock.instance.resources, ...defined({ disks: options.disks }) };
  const { names, standsOn } = await outlineOf(group, id);
  const next = nextSnapshot(record.snapshotsTaken, names);
  const name = options.name ?? next.name;
  if (names.includes(name)) {
    throw failure("SNAPSHOT_EXISTS", { name: lock.instance.name, snapshot: name });
  }
  const taken = options.name === undefined ? next.taken : record.snapshotsTaken + 1;
  context.progress({ phase: "Taking snapshot" });
  const described = {
    name,
    comment: options.comment ?? "",
    parent: standsOn,
    resources,
    mounts,
    nics,
    cloudInstanceId: record.cloudInstanceId,
    createdAt: Date.now(),
  };
  await group.take(lock, described, taken, context);
  warnOfExcluded({ ...lock.instance, resources }, context);
  return name;
}

/** Rejects like a restore, as far as this can be checked without a lock, and says what it will do. */
export async function checkRestore(
  session: Session,
  { instance: name, snapshot }: Required<Ref>,
): Promise<RestorePlan> {
  checkName("snapshot", snapshot);
  const instance = await getInstance(session, name);
  const { snapshots: group } = await session.engine();
  await requireSnapshot(await outlineOf(group, instance.id), name, snapshot);
  requireRestorable(instance);
  return { disks: await changesOf(session, instance, snapshot) };
}

/** What restoring a snapshot does with further disks; an engine without them is not asked. */
async function changesOf(session: Session, instance: Instance, name: string): Promise<DiskChange[]> {
  if ((await session.engine()).disks === undefined) {
    return [];
  }
  const { snapshots: found } = await treeOf(session, instance);
  const then = found.find((snapshot) => snapshot.name === name)?.resources.disks;
  return diskChanges(name, instance.resources.disks, then);
}

function requireRestorable(instance: Instance): void {
  requireStopped(instance, "Only stopped instances can be restored");
}

/**
 * Restores a stopped instance to a snapshot; with `saveFirst`, after taking a snapshot of its current state.
 */
export async function restore(
  session: Session,
  ref: Required<Ref>,
  options: Pick<RestoreOptions, "saveFirst" | "shown"> = {},
  call?: CallOptions,
): Promise<{ readonly saved: SnapshotRef | null }> {
  checkName("snapshot", ref.snapshot);
  const context = contextOf(call);
  const { instances, snapshots: group } = await session.engine();
  return whileLocked(session, { name: ref.instance }, context, async (lock) => {
    const fresh = lock.instance;
    await requireSnapshot(await outlineOf(group, fresh.id), ref.instance, ref.snapshot);
    requireRestorable(fresh);
    await warnOfChanges(session, fresh, ref.snapshot, options.shown, context);
    const comment = `Before restoring ${ref.snapshot}`;
    const { disks } = fresh.resources;
    const saved = options.saveFirst === true ? await take(session, lock, { comment, disks }, context) : null;
    context.progress({ phase: "Restoring snapshot" });
    await group.restore(lock, ref.snapshot, context);
    // Restoring the current snapshot leaves no other trace that events could show.
    await instances.annotate(lock, {
      restoredAt: Math.max(Date.now(), (fresh.record.restoredAt ?? 0) + 1),
    });
    return { saved: saved === null ? null : snapshotRef(ref.instance, saved) };
  });
}

/**
 * Says what a restore will do with further disks, but for what the caller was shown. Only an instance that has some
 * can lose one; of any other the snapshot is not read.
 */
async function warnOfChanges(
  session: Session,
  instance: Instance,
  snapshot: string,
  shown: readonly DiskChange[] = [],
  context: Context,
): Promise<void> {
  if (instance.resources.disks === undefined) {
    return;
  }
  const known = new Set(shown.map(({ detail }) => detail));
  for (const { detail } of await changesOf(session, instance, snapshot)) {
    if (!known.has(detail)) {
      context.warn?.(detail);
    }
  }
}

/**
 * Deletes a snapshot anywhere in the tree. Rejects with SNAPSHOT_NOT_FOUND if another process deleted it
 * while we waited for the lock.
 */
export async function deleteSnapshot(
  session: Session,
  lock: Lock,
  name: string,
  context: Context,
): Promise<void> {
  const { snapshots: group } = await session.engine();
  const { instance } = lock;
  const removal =
    group.removal === undefined
      ? planRemoval(await treeOf(session, instance), name)
      : await group.removal(instance.id, name);
  if (removal == null) {
    // An interrupted deletion of it was also requested, and taking the lock has finished it.
    if (lock.deleted === name) {
      return;
    }
    throw await snapshotNotFound(
      instance.name,
      name,
      async () => (await outlineOf(group, instance.id)).names,
    );
  }
  context.progress({ phase: "Deleting snapshot" });
  await group.delete(lock, removal, context);
}

/** Renames a snapshot; its children follow. */
export async function renameSnapshot(
  session: Session,
  ref: Required<Ref>,
  to: string,
  call?: CallOptions,
): Promise<void> {
  checkName("snapshot", to);
  await changeRecord(session, ref, call, async (group, lock, outline, context) => {
    if (to !== ref.snapshot && outline.names.includes(to)) {
      throw failure("SNAPSHOT_EXISTS", { name: ref.instance, snapshot: to });
    }
    await group.rename(lock, ref.snapshot, to, context);
  });
}

/** Replaces the comment of a snapshot. */
export async function describeSnapshot(
  session: Session,
  ref: Required<Ref>,
  comment: string,
  call?: CallOptions,
): Promise<void> {
  await changeRecord(session, ref, call, (group, lock, _, context) =>
    group.describe(lock, ref.snapshot, comment, context),
  );
}

async function changeRecord(
  session: Session,
  ref: Required<Ref>,
  call: CallOptions | undefined,
  work: (group: Snapshots, lock: Lock, outline: SnapshotOutline, context: Context) => Promise<void>,
): Promise<void> {
  const context = contextOf(call);
  const { snapshots: group } = await session.engine();
  await whileLocked(session, { name: ref.instance }, context, async (lock) => {
    const outline = await outlineOf(group, lock.instance.id);
    await requireSnapshot(outline, ref.instance, ref.snapshot);
    await work(group, lock, outline, context);
  });
}
