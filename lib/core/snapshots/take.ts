import type {
  Consistency,
  Context,
  Disk,
  Instance,
  Lock,
  SnapshotOutline,
  SnapshotRecord,
} from "../../engine/contract.ts";
import { checkEach } from "../../errors/check-each.ts";
import { failure } from "../../errors.ts";
import { defined } from "../../util/defined.ts";
import type { CallOptions, SnapshotRef, TakeOptions } from "../api/strata.ts";
import { withMountsAside } from "../guest/mounts.ts";
import { warnOfExcluded } from "../instances/disks.ts";
import { awaitsShutdown, displayState, requireStopped, whileLocked } from "../instances/instances.ts";

import { requireDisk } from "../instances/resources.ts";
import { thenComeUp, whileStopped } from "../instances/stopped.ts";
import { requireFeature, requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { checkName, nextSnapshot } from "./names.ts";
import { outlineOf } from "./outline.ts";
import { snapshotRef } from "./ref.ts";

/** What the engine must have for a consistency that only running instances can have, in the user's words. */
const NEEDS = {
  crash: ["snapshot.running", "taking a snapshot of a running instance"],
  files: ["snapshot.quiesce", "taking a snapshot with frozen file systems"],
  memory: ["snapshot.memory", "taking a snapshot with memory"],
} as const;

/** Takes a snapshot of an instance; what its state allows is decided under the lock. */
export async function snapshot(
  session: Session,
  name: string,
  options: TakeOptions = {},
  call?: CallOptions,
): Promise<SnapshotRef> {
  await checkRequest(session, options);
  const context = contextOf(call);
  const work = async (lock: Lock, started: Instance[]) => {
    const consistency = await consistencyOf(session, lock.instance, options);
    const running = lock.instance.state === "running" && consistency === "stopped" ? [lock] : [];
    if (running.length > 0 && options.name !== undefined) {
      const { snapshots: group } = await session.engine();
      requireNew(lock.instance, await outlineOf(group, lock.instance.id), options.name);
    }
    const taken = await excluding(session, lock, options.exclude ?? [], context, (disks) =>
      whileStopped(session, running, started, context, () =>
        take(session, lock, { ...options, disks, consistency }, context),
      ),
    );
    return snapshotRef(name, taken);
  };
  return thenComeUp(
    session,
    context,
    (started) => whileLocked(session, { name }, context, (lock) => work(lock, started)),
    (taken) => `snapshot ${taken} was taken`,
  );
}

/** Rejects what is wrong whatever the state of the instance. */
export async function checkRequest(
  session: Session,
  options: Pick<TakeOptions, "name" | "consistency" | "stop">,
): Promise<void> {
  const { name, consistency, stop } = options;
  if (name !== undefined) {
    checkName("snapshot", name);
  }
  if (stop === true && consistency !== undefined && consistency !== "stopped") {
    const reason = `a snapshot of an instance that is stopped first cannot have the consistency "${consistency}"`;
    throw failure("USAGE", { reason });
  }
  if (consistency !== undefined && consistency !== "stopped") {
    const [feature, what] = NEEDS[consistency];
    await requireFeature(session, feature, what);
  }
}

/** The consistency that a snapshot of an instance in its present state gets; rejects if that is not the wanted one. */
export async function consistencyOf(
  session: Session,
  instance: Instance,
  { consistency, stop }: Pick<TakeOptions, "consistency" | "stop">,
): Promise<Consistency> {
  if (instance.state !== "running") {
    return ofResting(session, instance, consistency);
  }
  if (stop === true) {
    return "stopped";
  }
  if (consistency === "stopped") {
    requireStopped(instance, "Only stopped instances can be snapshotted so");
  }
  if (consistency === "memory" && awaitsShutdown(instance)) {
    throw wrongState(instance, "A scheduled shutdown would come back with the memory");
  }
  if (consistency === undefined && !(await takesRunning(session))) {
    requireStopped(instance, await onlyStopped(session));
  }
  return consistency ?? "crash";
}

/** Of an instance that does not run, or that is on its way. */
async function ofResting(
  session: Session,
  instance: Instance,
  wanted: TakeOptions["consistency"],
): Promise<Consistency> {
  const running = await takesRunning(session);
  requireStopped(
    instance,
    running ? "Only running and stopped instances can be snapshotted" : await onlyStopped(session),
  );
  if (wanted !== undefined && wanted !== "stopped") {
    throw wrongState(instance, REASONS[wanted]);
  }
  return "stopped";
}

const REASONS = {
  crash: "Only a running instance can be snapshotted as if its power had been cut",
  files: "Only a running instance has file systems to freeze",
  memory: "Only a running instance has memory to save",
} as const;

function wrongState(instance: Instance, reason: string) {
  return failure("WRONG_STATE", { name: instance.name, reason, state: displayState(instance) });
}

/** True if the engine takes snapshots of running instances. */
export async function takesRunning(session: Session): Promise<boolean> {
  return (await session.info()).features.has("snapshot.running");
}

async function onlyStopped(session: Session): Promise<string> {
  const why = (await session.info()).missing.get("snapshot.running");
  return `Only stopped instances can be snapshotted${why === undefined ? "" : ` (${why})`}`;
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

export interface Take {
  readonly name?: string;
  readonly comment?: string;
  readonly disks: readonly Disk[] | undefined;
  readonly consistency: Consistency;
  /** As in the contract. */
  readonly cut?: boolean;
}

/** The parent is the current snapshot: last taken or restored. Resolves to the name. */
export async function take(session: Session, lock: Lock, options: Take, context: Context): Promise<string> {
  const { snapshots: group } = await session.engine();
  const { consistency, cut } = options;
  const { id, record } = lock.instance;
  const outline = await outlineOf(group, id);
  const next = nextSnapshot(record.snapshotsTaken, outline.names);
  const name = options.name ?? next.name;
  requireNew(lock.instance, outline, name);
  const taken = options.name === undefined ? next.taken : record.snapshotsTaken + 1;
  context.progress({ phase: "Taking snapshot" });
  const described = recordOf(lock.instance, outline, { ...options, name });
  const work = () => group.take(lock, described, taken, context, defined({ cut }));
  await (consistency === "memory" ? withMountsAside(session, lock, context, work) : work());
  warnOfExcluded({ ...lock.instance, resources: described.resources }, context);
  return name;
}

/** Rejects a name that another snapshot has. */
export function requireNew({ name }: Instance, { names }: SnapshotOutline, snapshot: string): void {
  if (names.includes(snapshot)) {
    throw failure("SNAPSHOT_EXISTS", { name, snapshot });
  }
}

/** What a snapshot that is taken now records of an instance. */
export function recordOf(
  instance: Instance,
  { standsOn }: SnapshotOutline,
  {
    name,
    comment = "",
    consistency,
    disks,
    group,
  }: Take & { readonly name: string; readonly group?: string },
): SnapshotRecord {
  const { mounts, nics, record } = instance;
  return {
    name,
    comment,
    parent: standsOn,
    resources: { ...instance.resources, ...defined({ disks }) },
    mounts,
    nics,
    cloudInstanceId: record.cloudInstanceId,
    createdAt: Date.now(),
    ...(consistency === "stopped" ? {} : { consistency }),
    ...(group === undefined ? {} : { group }),
  };
}
