import type { EngineEvent, Instance } from "../backend/contract.ts";
import { merge } from "../merge.ts";
import type { StrataEvent } from "./api.ts";
import { requireGroup } from "./features.ts";
import { displayState } from "./instances.ts";
import type { Session } from "./session.ts";

/**
 * What happens from now on, in all engines of the configuration that tell of it, until the signal. The
 * first is `resync`: nothing after it is missed.
 */
export async function* events(session: Session, signal: AbortSignal): AsyncGenerator<StrataEvent> {
  await requireGroup(session, "events", "telling of events", (backend) => backend.events);
  const sessions = [session];
  for (const other of await session.others()) {
    const { features } = await other.info();
    if (features.has("events")) sessions.push(other);
  }
  const end = new AbortController();
  const any = AbortSignal.any([signal, end.signal]);
  try {
    yield* merge(sessions.map((each) => watch(each, any)));
  } finally {
    end.abort();
  }
}

/** What of an instance is looked at for changes. */
interface Seen {
  readonly instance: Instance;
  /** Snapshots by name, with what stays when one is renamed. */
  readonly snapshots: ReadonlyMap<string, { readonly createdAt: number; readonly parent: string | null }>;
  readonly standsOn: string | null;
}

async function* watch(session: Session, signal: AbortSignal): AsyncGenerator<StrataEvent> {
  const backend = await session.backend();
  const seen = new Map<string, Seen>();
  let begun = false;
  for await (const event of backend.events?.(signal) ?? []) {
    const { at } = event;
    if (event.kind !== "resync") {
      yield* follow(session, seen, event);
      continue;
    }
    const now = await backend.instances.list();
    const late: StrataEvent[] = [];
    for (const [id, { instance }] of seen) {
      if (now.some((each) => each.id === id)) continue;
      seen.delete(id);
      late.push({ at, kind: "purge", instance: instance.name });
    }
    for (const instance of now) {
      const before = seen.get(instance.id);
      const after = await look(session, instance, before);
      seen.set(instance.id, after);
      late.push(...differences(at, before, after));
    }
    yield { at, kind: "resync" };
    // What happened in a gap is told late; what was there before the beginning is not told.
    if (begun) yield* late;
    begun = true;
  }
}

async function* follow(
  session: Session,
  seen: Map<string, Seen>,
  event: Exclude<EngineEvent, { kind: "resync" }>,
): AsyncGenerator<StrataEvent> {
  const { at, id } = event;
  const before = seen.get(id);
  const instance = event.kind === "removed" ? undefined : await find(session, id, before?.instance.name);
  if (instance === undefined) {
    if (seen.delete(id) && before !== undefined) yield { at, kind: "purge", instance: before.instance.name };
    return;
  }
  let told = before;
  if (event.kind === "state" && before !== undefined) {
    // Told as it was, even if it is another by now.
    told = { ...before, instance: { ...before.instance, state: event.state } };
    yield* differences(at, before, told);
  }
  const after = await look(session, instance, before);
  seen.set(id, after);
  yield* differences(at, told, after);
}

async function find(session: Session, id: string, name: string | undefined): Promise<Instance | undefined> {
  const { instances } = await session.backend();
  const found = name === undefined ? null : await instances.find(name);
  return found?.id === id ? found : (await instances.list()).find((each) => each.id === id);
}

/** The tree is read whole only when its names have changed: an outline costs the same at any size. */
async function look(session: Session, instance: Instance, before: Seen | undefined): Promise<Seen> {
  const { snapshots: group } = await session.backend();
  const { names, standsOn } =
    instance.snapshotCount === 0 ? { names: [], standsOn: null } : await group.outline(instance.id);
  const known = before?.snapshots ?? new Map<string, never>();
  if (names.length === known.size && names.every((name) => known.has(name)))
    return { instance, snapshots: known, standsOn };
  const tree = await group.tree(instance.id);
  const snapshots = new Map(
    tree.snapshots.map(({ name, createdAt, parent }) => [name, { createdAt, parent }] as const),
  );
  return { instance, snapshots, standsOn: tree.standsOn };
}

/** What must have happened between two looks. */
function* differences(at: number, before: Seen | undefined, after: Seen): Generator<StrataEvent> {
  const { name, record, resources } = after.instance;
  const about = { at, instance: name };
  if (before === undefined) yield { ...about, kind: "create" };
  const was = before?.instance;
  if (was?.record.deleted === true && !record.deleted) yield { ...about, kind: "recover" };
  yield* snapshotDifferences(about, before, after);
  if (was !== undefined && was.record.restoredAt !== record.restoredAt) {
    // A snapshot that was taken since stands on what was restored.
    let snapshot = after.standsOn;
    while (snapshot !== null && !before?.snapshots.has(snapshot))
      snapshot = after.snapshots.get(snapshot)?.parent ?? null;
    if (snapshot !== null) yield { ...about, kind: "restore", snapshot };
  }
  const { cpus, memory, disk } = resources;
  const old = was?.resources;
  if (old !== undefined && (old.cpus !== cpus || old.memory !== memory || old.disk !== disk))
    yield { ...about, kind: "resize", cpus, memory, disk };
  const state = displayState(after.instance);
  if (was !== undefined && !was.record.deleted && record.deleted) yield { ...about, kind: "delete" };
  if (was === undefined || displayState(was) !== state) yield { ...about, kind: "state", state };
}

function* snapshotDifferences(
  about: { readonly at: number; readonly instance: string },
  before: Seen | undefined,
  after: Seen,
): Generator<StrataEvent> {
  const gone = new Map([...(before?.snapshots ?? [])].filter(([name]) => !after.snapshots.has(name)));
  const come = new Map([...after.snapshots].filter(([name]) => before?.snapshots.has(name) !== true));
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
  for (const [snapshot] of taken) yield { ...about, kind: "snapshot", snapshot };
}
