import type { Context, Instance, InstanceOutline, Lock } from "../../engine/contract.ts";
import { checkEach } from "../../errors/check-each.ts";
import { asStrataError, type ErrorCode, failure } from "../../errors.ts";
import type { EachOptions, InstanceState, ListOptions } from "../api/strata.ts";
import { notFound } from "../session/engines.ts";
import { contextOf, contextOfItem, type Session } from "../session/session.ts";
import { checkInstanceName } from "../snapshots/names.ts";

/** How long an operation waits for another one on the same instance, ms. */
const LOCK_TIMEOUT_MS = 120_000;
/** How long it waits before it says so, ms. */
const LOCK_NOTABLE_MS = 500;

const STATES: Readonly<Record<Instance["state"], InstanceState>> = {
  stopped: "Stopped",
  starting: "Starting",
  running: "Running",
  restarting: "Restarting",
  stopping: "Delayed Shutdown",
  suspending: "Suspending",
  suspended: "Suspended",
  unknown: "Unknown",
};

/** How long after its time a shutdown may still be in progress, ms. */
const SHUTDOWN_GRACE_MS = 120_000;

/** True while an instance with a scheduled shutdown runs. */
export function awaitsShutdown({ state, record }: InstanceOutline): boolean {
  return state === "running" && Date.now() < (record.shutdownAt ?? 0) + SHUTDOWN_GRACE_MS;
}

/** True for an instance that may be on another host as well; see `handOver`. */
export function isMoving({ record }: Pick<Instance, "record">): boolean {
  return record.transit !== undefined && record.transit.phase !== "arrived";
}

/** Rejects with INSTANCE_DELETED or INSTANCE_MOVING for one that is not to be used. */
function requireUsable({ name, record }: Pick<Instance, "name" | "record">): void {
  if (record.deleted) {
    throw failure("INSTANCE_DELETED", { name });
  }
  if (isMoving({ record })) {
    throw failure("INSTANCE_MOVING", { name });
  }
}

/** The state that is shown to users. */
export function displayState(instance: InstanceOutline): InstanceState {
  if (instance.record.deleted) {
    return "Deleted";
  }
  if (isMoving(instance)) {
    return "Moving";
  }
  if (awaitsShutdown(instance)) {
    return "Delayed Shutdown";
  }
  return instance.state === "running" && instance.record.startingAt ? "Starting" : STATES[instance.state];
}

/** All instances in outline, deleted ones included. */
export async function outlines(session: Session, options: ListOptions = {}): Promise<InstanceOutline[]> {
  const { instances } = await session.engine();
  const addresses = options.addresses !== false;
  const found = await (instances.outline?.({ addresses }) ?? instances.list());
  return addresses ? found : found.map((each) => ({ ...each, addresses: [] }));
}

/**
 * The instance of that name; rejects with INSTANCE_NOT_FOUND and, unless deleted ones are allowed, and with them those
 * that are being moved, INSTANCE_DELETED or INSTANCE_MOVING.
 */
export async function getInstance(
  session: Session,
  name: string,
  options: { readonly deleted?: "allowed" } = {},
): Promise<Instance> {
  checkInstanceName(name);
  const { instances } = await session.engine();
  const instance = await instances.find(name);
  if (instance === null) {
    throw await notFound(session, name);
  }
  if (options.deleted === undefined) {
    requireUsable(instance);
  }
  return instance;
}

/** All instances of a request; if one is missing or deleted, the request fails before anything is changed. */
export async function getInstances(
  session: Session,
  names: readonly string[],
  options: { readonly deleted?: "allowed" } = {},
  call?: EachOptions,
): Promise<Instance[]> {
  const found = await checkEach(new Set(names), (name) =>
    unlessGone(call, () => getInstance(session, name, options)),
  );
  return found.filter((instance) => instance !== undefined);
}

const GONE: readonly ErrorCode[] = ["INSTANCE_NOT_FOUND", "INSTANCE_DELETED", "SNAPSHOT_NOT_FOUND"];

/**
 * The result of a function; undefined if its instance or snapshot has disappeared and the caller allows that.
 */
export async function unlessGone<T>(
  call: Pick<EachOptions, "skipMissing"> | undefined,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (call?.skipMissing !== true || !GONE.includes(asStrataError(error).code)) {
      throw error;
    }
    return undefined;
  }
}

/**
 * Calls a function while the instance, which may be known only by name, is locked; the lock contains its
 * state under the lock.
 */
export async function whileLocked<T>(
  session: Session,
  which: Instance | { readonly name: string },
  context: Context,
  work: (lock: Lock) => Promise<T>,
  options: { readonly wait?: number; readonly finish?: boolean } = {},
): Promise<T> {
  const { instances } = await session.engine();
  const { name } = which;
  const known = "id" in which ? which : undefined;
  if (known === undefined) {
    checkInstanceName(name);
  }
  const place = known === undefined ? { name } : { name, id: known.id };
  const { wait = LOCK_TIMEOUT_MS } = options;
  const phase = `Waiting for ${name}: another operation is in progress`;
  const since = Date.now();
  // Most locks are free.
  const timer = setTimeout(
    () => context.progress({ phase, wait: { since, timeout: wait } }),
    LOCK_NOTABLE_MS,
  );
  await using lock = await instances
    .lock(place, { ...options, wait }, context)
    .catch(async (error: unknown) => {
      const missing = known === undefined && asStrataError(error).code === "INSTANCE_NOT_FOUND";
      throw missing ? await notFound(session, name) : error;
    })
    .finally(() => clearTimeout(timer));
  // It may have been deleted while we waited; functions for deleted instances still run.
  if (known === undefined || !(known.record.deleted || isMoving(known))) {
    requireUsable(lock.instance);
  }
  // Awaited here, because a returned promise would outlive the lock.
  return await work(lock);
}

/**
 * Calls a function while several instances are locked, in order of their names, so that two such calls never wait for
 * each other.
 */
export async function whileAllLocked<T>(
  session: Session,
  chosen: readonly (Instance | { readonly name: string })[],
  context: Context,
  work: (locks: readonly Lock[]) => Promise<T>,
): Promise<T> {
  const inOrder = [...chosen].sort((a, b) => (a.name < b.name ? -1 : 1));
  const lockNext = (held: readonly Lock[]): Promise<T> => {
    const next = inOrder[held.length];
    return next === undefined
      ? work(held)
      : whileLocked(session, next, context, (lock) => lockNext([...held, lock]));
  };
  return lockNext([]);
}

/**
 * The same for several instances in turn; those that have disappeared by their turn are skipped if the caller
 * allows that.
 */
export async function eachLocked(
  session: Session,
  chosen: readonly Instance[],
  call: EachOptions | undefined,
  work: (lock: Lock, context: Context) => Promise<unknown>,
): Promise<void> {
  const context = contextOf(call);
  for (const [at, instance] of chosen.entries()) {
    const own = contextOfItem(context, at + 1, chosen.length);
    await unlessGone(call, () => whileLocked(session, instance, own, (lock) => work(lock, own)));
  }
}

/** Rejects with `reason` unless the instance is stopped. */
export function requireStopped(instance: Instance, reason: string): void {
  const { name, state } = instance;
  if (state === "suspended") {
    throw failure("INSTANCE_SUSPENDED", { name, reason });
  }
  if (state !== "stopped") {
    throw failure("WRONG_STATE", { name, reason, state: displayState(instance) });
  }
}
