import type { Context, Instance, Lock } from "../../engine/contract.ts";
import { asStrataError, failure } from "../../errors.ts";
import type {
  CallOptions,
  DiskChange,
  Ref,
  Restored,
  RestoreOptions,
  RestorePlan,
  SnapshotRef,
} from "../api/strata.ts";
import { boot } from "../instances/boot.ts";
import { getInstance, requireStopped, whileLocked } from "../instances/instances.ts";
import { comeUp, STOP_TIMEOUT } from "../instances/lifecycle.ts";
import { forgetShutdown } from "../instances/shutdown.ts";
import { requireFeature } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { diskChanges } from "./disk-changes.ts";
import { checkName } from "./names.ts";
import { outlineOf } from "./outline.ts";
import { snapshotRef } from "./ref.ts";
import { requireSnapshot, treeOf } from "./snapshots.ts";
import { take, takesRunning } from "./take.ts";

type Options = Pick<RestoreOptions, "saveFirst" | "shown" | "diskOnly" | "start">;

/** Rejects like a restore, as far as this can be checked without a lock, and says what it will do. */
export async function checkRestore(
  session: Session,
  { instance: name, snapshot }: Required<Ref>,
  options: Pick<Options, "diskOnly"> = {},
): Promise<RestorePlan> {
  checkName("snapshot", snapshot);
  const instance = await getInstance(session, name);
  const memory = await requireRestorable(session, instance, snapshot, options);
  const disks = await changesOf(session, instance, snapshot);
  return { disks, memory, running: instance.state === "running" };
}

/** Rejects unless an instance can be restored to a snapshot; true if that comes with memory. */
export async function requireRestorable(
  session: Session,
  instance: Instance,
  snapshot: string,
  { diskOnly }: Pick<Options, "diskOnly">,
): Promise<boolean> {
  const { snapshots: group } = await session.engine();
  const { id, name, state, resumes } = instance;
  await requireSnapshot(await outlineOf(group, id), name, snapshot);
  // What only waits to be resumed has its memory in a snapshot, so nothing of it is lost.
  if (state !== "running" && resumes === undefined) {
    requireStopped(instance, "Only running and stopped instances can be restored");
  }
  const memory = diskOnly !== true && (await hasMemory(session, instance, snapshot));
  if (memory) {
    await requireFeature(session, "snapshot.memory", `restoring the memory of ${name}.${snapshot}`);
  }
  return memory;
}

/** The whole tree is read for this only where snapshots may have memory, and one cannot be read alone. */
async function hasMemory(session: Session, instance: Instance, name: string): Promise<boolean> {
  const { snapshots: group } = await session.engine();
  if (group.find !== undefined) {
    return (await group.find(instance.id, name))?.consistency === "memory";
  }
  if (!(await session.info()).features.has("snapshot.memory")) {
    return false;
  }
  const { snapshots } = await treeOf(session, instance);
  return snapshots.find((each) => each.name === name)?.consistency === "memory";
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

/**
 * Restores an instance to a snapshot; with `saveFirst`, after taking a snapshot of its current state. One that runs
 * is stopped for it and started again.
 */
export async function restore(
  session: Session,
  ref: Required<Ref>,
  options: Options = {},
  call?: CallOptions,
): Promise<Restored> {
  checkName("snapshot", ref.snapshot);
  const context = contextOf(call);
  const back = await whileLocked(session, { name: ref.instance }, context, async (lock) => {
    const done = await restoreLocked(session, lock, ref.snapshot, options, context);
    await startRestored(session, lock, done, context);
    return done;
  });
  await comeBack(session, back, context);
  return resultOf(back);
}

/** An instance that is restored, and is to be started if it has to be. */
export interface Back {
  readonly instance: Instance;
  readonly snapshot: SnapshotRef;
  readonly saved: SnapshotRef | null;
  readonly memory: boolean;
  readonly starts: boolean;
}

export function resultOf({ saved, memory, starts }: Back): Restored {
  return { saved, resumes: memory && !starts };
}

/** Restores a locked instance, which does not run then. */
export async function restoreLocked(
  session: Session,
  lock: Lock,
  snapshot: string,
  options: Options,
  context: Context,
): Promise<Back> {
  const { instances, snapshots: group } = await session.engine();
  const { instance } = lock;
  const memory = await requireRestorable(session, instance, snapshot, options);
  await warnOfChanges(session, instance, snapshot, options.shown, context);
  const ran = instance.state === "running";
  const comment = `Before restoring ${snapshot}`;
  const saved = await giveUp(session, lock, options.saveFirst === true ? comment : undefined, context);
  // Stopped half-way, what ran would neither run nor be restored.
  const finishing = ran ? uncancelled(context) : context;
  context.progress({ phase: "Restoring snapshot" });
  try {
    await group.restore(lock, snapshot, finishing, memory ? { memory } : {});
  } catch (error) {
    if (ran) {
      await startAgain(session, lock, saved, finishing);
    }
    throw error;
  }
  const ref = snapshotRef(instance.name, snapshot);
  const back = { instance, snapshot: ref, saved, memory, starts: options.start ?? ran };
  // Restoring the current snapshot leaves no other trace that events could show.
  const restoredAt = Math.max(Date.now(), (instance.record.restoredAt ?? 0) + 1);
  const forgotten = ran ? { shutdownAt: 0, startingAt: 0 } : {};
  await instances
    .annotate(lock, { restoredAt, ...forgotten })
    .catch(sayRestored(back, back.starts ? ", but not started" : "", context));
  return back;
}

/** The same context without its signal. */
export function uncancelled(context: Context): Context {
  return { ...context, signal: contextOf().signal };
}

/** Starts what was restored, if it is to be; nothing waits for its guest yet. */
export async function startRestored(
  session: Session,
  lock: Lock,
  back: Back,
  context: Context,
): Promise<void> {
  if (back.starts) {
    await boot(session, lock, context, back.memory ? "suspended" : "stopped").catch(
      sayRestored(back, ", but not started", context),
    );
  }
}

/** Waits for the guest of what was started. */
export async function comeBack(session: Session, back: Back, context: Context): Promise<void> {
  if (back.starts) {
    const resumed = back.memory;
    await comeUp(session, back.instance, context, { resumed }).catch(
      sayRestored(back, " and started", context),
    );
  }
}

/**
 * Stops whatever runs, without caring for what is lost. With a comment, a snapshot has it: of a running instance at
 * the very moment at which its power is cut, where the engine can, and else after a shutdown.
 */
async function giveUp(
  session: Session,
  lock: Lock,
  comment: string | undefined,
  context: Context,
): Promise<SnapshotRef | null> {
  const { instances } = await session.engine();
  const { name, state, resources } = lock.instance;
  const request = { disks: resources.disks, ...(comment === undefined ? {} : { comment }) };
  const ran = state === "running";
  let saved: string | null = null;
  if (context.signal.aborted) {
    throw failure("CANCELLED");
  }
  if (ran && comment !== undefined && (await takesRunning(session))) {
    saved = await take(session, lock, { ...request, consistency: "crash", cut: true }, context);
  } else {
    if (state !== "stopped") {
      const gently = ran && comment !== undefined;
      await instances.stop(lock, gently ? { grace: STOP_TIMEOUT } : "force", context);
    }
    if (comment !== undefined) {
      saved = await take(session, lock, { ...request, consistency: "stopped" }, context).catch(
        async (error: unknown) => {
          if (ran) {
            await startAgain(session, lock, null, uncancelled(context));
          }
          throw error;
        },
      );
    }
  }
  return saved === null ? null : snapshotRef(name, saved);
}

/** Starts what ran, as it is, where it could not be restored; why not is the error to report. */
async function startAgain(
  session: Session,
  lock: Lock,
  saved: SnapshotRef | null,
  context: Context,
): Promise<void> {
  const { name } = lock.instance;
  const kept = saved === null ? "" : `; snapshot ${saved} was taken`;
  const starting = async () => {
    await forgetShutdown(session, lock);
    await boot(session, lock, context, "stopped");
  };
  await starting().then(
    () => context.warn?.(`"${name}" is not restored, and was started again${kept}`),
    (error: unknown) => context.warn?.(`"${name}" is not restored${kept}: ${asStrataError(error).message}`),
  );
}

/** Says what is done before it passes on what failed after it. */
function sayRestored(back: Back, then: string, { warn }: Context): (error: unknown) => never {
  return (error) => {
    warn?.(restoredSentence(back, then));
    throw error;
  };
}

export function restoredSentence({ snapshot, saved }: Back, then: string): string {
  const kept = saved === null ? "" : `; snapshot ${saved} was taken before`;
  return `"${snapshot.instance}" is restored to ${snapshot.snapshot}${then}${kept}`;
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
