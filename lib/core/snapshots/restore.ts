import type { Context, Instance } from "../../engine/contract.ts";
import type {
  CallOptions,
  DiskChange,
  Ref,
  RestoreOptions,
  RestorePlan,
  SnapshotRef,
} from "../api/strata.ts";
import { getInstance, requireStopped, whileLocked } from "../instances/instances.ts";
import { contextOf, type Session } from "../session/session.ts";
import { diskChanges } from "./disk-changes.ts";
import { checkName } from "./names.ts";
import { outlineOf } from "./outline.ts";
import { snapshotRef } from "./ref.ts";
import { requireSnapshot, treeOf } from "./snapshots.ts";
import { take } from "./take.ts";

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
    const saved =
      options.saveFirst === true
        ? await take(session, lock, { comment, disks, consistency: "stopped" }, context)
        : null;
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
