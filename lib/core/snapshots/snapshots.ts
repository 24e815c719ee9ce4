import type {
  Context,
  Instance,
  Lock,
  SnapshotOutline,
  Snapshots,
  SnapshotTree,
} from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import { fewAtOnce } from "../../util/few-at-once.ts";
import type { CallOptions, EachOptions, Ref, SnapshotTreeInfo } from "../api/strata.ts";
import { getInstances, unlessGone, whileLocked } from "../instances/instances.ts";
import { contextOf, type Session } from "../session/session.ts";
import { snapshotNotFound } from "./missing.ts";
import { checkName } from "./names.ts";
import { outlineOf } from "./outline.ts";
import { planRemoval } from "./plan.ts";
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

export async function treeOf(session: Session, { id, snapshotCount }: Instance): Promise<SnapshotTree> {
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
      consistency: snapshot.consistency ?? "stopped",
      memorySize: snapshot.memorySize ?? null,
      group: snapshot.group ?? null,
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
