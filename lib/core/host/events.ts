import type { EngineEvent, Instance, Resources, Snapshot } from "../../engine/contract.ts";
import { asStrataError } from "../../errors.ts";
import { defined } from "../../util/defined.ts";
import { merge } from "../../util/merge.ts";
import type { StrataEvent } from "../api/strata.ts";
import { displayState } from "../instances/instances.ts";
import { requireGroup } from "../session/features.ts";
import type { Session } from "../session/session.ts";
import { outlineOf } from "../snapshots/outline.ts";
import { diskDifferences, withKnownSizes } from "./disk-events.ts";

/**
 * The events from now on, of all engines of the configuration that support it, until the signal. The first
 * one is `resync`: no event after it is missed.
 */
export async function* events(session: Session, signal: AbortSignal): AsyncGenerator<StrataEvent> {
  await requireGroup(session, "events", "reporting events", (engine) => engine.events);
  const sessions = [session];
  for (const other of await session.others()) {
    const { features } = await other.info();
    if (features.has("events")) {
      sessions.push(other);
    }
  }
  const end = new AbortController();
  const any = AbortSignal.any([signal, end.signal]);
  try {
    yield* merge(sessions.map((each) => watch(each, any)));
  } finally {
    end.abort();
  }
}

type Known = Pick<Snapshot, "createdAt" | "parent" | "consistency" | "group">;

/** The state of an instance that is compared for changes. */
interface Seen {
  readonly instance: Instance;
  /** Snapshots by name, with what a rename does not change; null if they could not be read. */
  readonly snapshots: ReadonlyMap<string, Known> | null;
  readonly standsOn: string | null;
}

async function* watch(session: Session, signal: AbortSignal): AsyncGenerator<StrataEvent> {
  const engine = await session.engine();
  const seen = new Map<string, Seen>();
  let begun = false;
  for await (const event of engine.events?.(signal) ?? []) {
    const { at } = event;
    if (event.kind !== "resync") {
      yield* follow(session, seen, event);
      continue;
    }
    const now = await engine.instances.list().catch((error: unknown) => {
      if (!begun) {
        throw error;
      }
      return passOver(session, "a gap", error);
    });
    // The connection was lost again, so another resync follows.
    if (now === null) {
      continue;
    }
    const late = await catchUp(session, seen, now, at);
    yield { at, kind: "resync" };
    // Changes in a gap are reported late; the state before the start is not reported.
    if (begun) {
      yield* late;
    }
    begun = true;
  }
}

/** Updates the last known state; resolves to the events that must have happened in between. */
async function catchUp(
  session: Session,
  seen: Map<string, Seen>,
  now: readonly Instance[],
  at: number,
): Promise<StrataEvent[]> {
  const late: StrataEvent[] = [];
  for (const [id, { instance }] of seen) {
    if (!now.some((each) => each.id === id)) {
      seen.delete(id);
      late.push({ at, kind: "purge", instance: instance.name });
    }
  }
  for (const instance of now) {
    const before = seen.get(instance.id);
    if (instance.removing && before !== undefined) {
      continue;
    }
    const after = await look(session, instance, before);
    seen.set(instance.id, after);
    late.push(...differences(at, before, after));
  }
  return late;
}

async function* follow(
  session: Session,
  seen: Map<string, Seen>,
  event: Exclude<EngineEvent, { kind: "resync" }>,
): AsyncGenerator<StrataEvent> {
  const { at, id } = event;
  const before = seen.get(id);
  const instance =
    event.kind === "removed"
      ? undefined
      : await find(session, id, before?.instance.name).catch((error: unknown) =>
          passOver(session, id, error),
        );
  // A removal is reported when it is complete, not when the record is marked for it.
  if (instance === null || instance?.removing) {
    return;
  }
  if (instance === undefined) {
    if (seen.delete(id) && before !== undefined) {
      yield { at, kind: "purge", instance: before.instance.name };
    }
    return;
  }
  // Reported as in this event, even if the state has changed since: that is another event.
  const state = event.kind === "state" ? event.state : (before?.instance.state ?? instance.state);
  let told = before;
  if (event.kind === "state" && before !== undefined) {
    told = { ...before, instance: { ...before.instance, state } };
    yield* differences(at, before, told);
  }
  const after = await look(session, { ...instance, state }, before);
  seen.set(id, after);
  yield* differences(at, told, after);
}

async function find(session: Session, id: string, name: string | undefined): Promise<Instance | undefined> {
  const { instances } = await session.engine();
  const found = name === undefined ? null : await instances.find(name);
  return found?.id === id ? found : (await instances.list()).find((each) => each.id === id);
}

/** An instance that cannot be read now is reported later; it must not end the events of all. */
function passOver(session: Session, about: string, error: unknown): null {
  session.log.debug(`${about} is passed over`, { error: asStrataError(error).message });
  return null;
}

async function look(session: Session, found: Instance, before: Seen | undefined): Promise<Seen> {
  // If the disk's size is not known, the last known one is kept.
  const disk = found.resources.disk || (before?.instance.resources.disk ?? 0n);
  const disks = withKnownSizes(found.resources.disks ?? [], before?.instance.resources.disks);
  const sizes = { ...found.resources, disk, ...(disks.length === 0 ? {} : { disks }) };
  const instance = { ...found, resources: sizes };
  const seen = await lookAt(session, instance, before).catch((error: unknown) =>
    passOver(session, instance.name, error),
  );
  return seen ?? { instance, snapshots: before?.snapshots ?? null, standsOn: before?.standsOn ?? null };
}

/** The whole tree is read only if its names have changed: an outline costs the same at any size. */
async function lookAt(session: Session, instance: Instance, before: Seen | undefined): Promise<Seen> {
  const { snapshots: group } = await session.engine();
  const { names, standsOn } =
    instance.snapshotCount === 0 ? { names: [], standsOn: null } : await outlineOf(group, instance.id);
  const known = before?.snapshots ?? new Map<string, never>();
  if (before?.snapshots !== null && names.length === known.size && names.every((name) => known.has(name))) {
    return { instance, snapshots: known, standsOn };
  }
  const tree = await group.tree(instance.id);
  const snapshots = new Map(
    tree.snapshots.map(
      ({ name, createdAt, parent, consistency, group: id }) =>
        [name, { createdAt, parent, ...defined({ consistency, group: id }) }] as const,
    ),
  );
  return { instance, snapshots, standsOn: tree.standsOn };
}

/** The events that must have happened between two readings. */
function* differences(at: number, before: Seen | undefined, after: Seen): Generator<StrataEvent> {
  const { name, record } = after.instance;
  const about = { at, instance: name };
  if (before === undefined) {
    yield { ...about, kind: "create" };
    yield* snapshotDifferences(about, before, after);
    yield { ...about, kind: "state", state: displayState(after.instance) };
    return;
  }
  const was = before.instance;
  if (was.name !== name) {
    yield { ...about, kind: "rename", from: was.name };
  }
  if (was.record.deleted && !record.deleted) {
    yield { ...about, kind: "recover" };
  }
  yield* snapshotDifferences(about, before, after);
  const snapshot = restoredBetween(before, after);
  if (snapshot !== null) {
    yield { ...about, kind: "restore", snapshot };
  }
  const { cpus, memory, disk } = after.instance.resources;
  if (isResized(was.resources, after.instance.resources)) {
    yield { ...about, kind: "resize", cpus, memory, disk };
  }
  yield* diskDifferences(about, was.resources, after.instance.resources);
  if (!was.record.deleted && record.deleted) {
    yield { ...about, kind: "delete" };
  }
  const state = displayState(after.instance);
  if (displayState(was) !== state) {
    yield { ...about, kind: "state", state };
  }
}

/** The snapshot that was restored between two readings; null for none. */
function restoredBetween(before: Seen, after: Seen): string | null {
  if (before.instance.record.restoredAt === after.instance.record.restoredAt) {
    return null;
  }
  // A snapshot taken since then has the restored one as its parent.
  let snapshot = after.standsOn;
  while (snapshot !== null && before.snapshots?.has(snapshot) !== true) {
    snapshot = after.snapshots?.get(snapshot)?.parent ?? null;
  }
  return snapshot;
}

function isResized(was: Resources, is: Resources): boolean {
  // Where the disk's size was not known, it has not changed.
  const isDiskResized = was.disk !== 0n && was.disk !== is.disk;
  return was.cpus !== is.cpus || was.memory !== is.memory || isDiskResized;
}

function* snapshotDifferences(
  about: { readonly at: number; readonly instance: string },
  before: Seen | undefined,
  after: Seen,
): Generator<StrataEvent> {
  const [was, is] = [before === undefined ? new Map<string, never>() : before.snapshots, after.snapshots];
  if (was === null || is === null) {
    return;
  }
  const gone = new Map([...was].filter(([name]) => !is.has(name)));
  const come = new Map([...is].filter(([name]) => !was.has(name)));
  for (const [name, { createdAt }] of gone) {
    const [renamed] = [...come].find(([, other]) => other.createdAt === createdAt) ?? [];
    if (renamed === undefined) {
      yield { ...about, kind: "snapshot-delete", snapshot: name };
      continue;
    }
    come.delete(renamed);
    yield { ...about, kind: "snapshot-rename", snapshot: renamed, from: name };
  }
  const taken = [...come].sort(([, a], [, b]) => a.createdAt - b.createdAt);
  for (const [snapshot, { consistency = "stopped", group = null }] of taken) {
    yield { ...about, kind: "snapshot", snapshot, consistency, group };
  }
}
