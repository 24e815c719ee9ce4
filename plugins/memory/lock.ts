import type { Context, Instance, Lock } from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import type { StoredInstance, World } from "./world.ts";

/** Locks that have not been released, by the ids of their instances, and the callers that wait for them. */
export interface Locks {
  readonly states: Map<string, LockState>;
}

interface LockState {
  readonly waiting: Set<() => void>;
  /** Absent until its holder has it. */
  lock?: Lock;
}

/** The locked instance. Rejects once the lock has been released. */
export async function lockedInstance(world: World, locks: Locks, lock: Lock): Promise<StoredInstance> {
  const { id, name } = lock.instance;
  if (locks.states.get(id)?.lock !== lock) {
    throw failure("LOCK_REQUIRED", { name });
  }
  return world.get(id);
}

/** Rejects with CANCELLED when the call was called off. */
export function goOn({ signal }: Context): void {
  if (signal.aborted) {
    throw failure("CANCELLED", {}, signal.reason);
  }
}

/** Ends all locks at once, as the death of their holder does. */
export function releaseAll({ states }: Locks): void {
  const waiting = [...states.values()].flatMap((each) => [...each.waiting]);
  states.clear();
  for (const wake of waiting) {
    wake();
  }
}

/** Rejects with the state's own error unless the instance is stopped. */
export function requireStopped({ name, state }: StoredInstance, reason: string): void {
  if (state === "suspended") {
    throw failure("INSTANCE_SUSPENDED", { name, reason });
  }
  if (state !== "stopped") {
    throw failure("WRONG_STATE", { name, reason, state: "Running" });
  }
}

/** First come, first served. */
export async function lockInstance(
  world: World,
  locks: Locks,
  { name, id: wanted }: { readonly name: string; readonly id?: string },
  wait: number,
  { signal }: Context,
  view: (stored: StoredInstance) => Instance,
): Promise<Lock> {
  const found = (await world.all()).find((each) => each.name === name);
  if (found === undefined || (wanted !== undefined && found.id !== wanted)) {
    throw failure("INSTANCE_NOT_FOUND", { name });
  }
  const { id } = found;
  const end = Date.now() + wait;
  for (;;) {
    const before = locks.states.get(id);
    if (before === undefined) {
      break;
    }
    await turn(before.waiting, end - Date.now(), signal, name);
  }
  const mine: LockState = { waiting: new Set() };
  locks.states.set(id, mine);
  const release = async () => {
    // A lock that was lost may belong to another caller by now.
    if (locks.states.get(id) === mine) {
      locks.states.delete(id);
    }
    for (const wake of mine.waiting) {
      wake();
    }
  };
  try {
    mine.lock = { instance: view(await world.get(id)), [Symbol.asyncDispose]: release };
    return mine.lock;
  } catch (error) {
    await release();
    throw error;
  }
}

function turn(waiting: Set<() => void>, left: number, signal: AbortSignal, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (work: () => void) => () => {
      clearTimeout(timer);
      waiting.delete(wake);
      signal.removeEventListener("abort", abort);
      work();
    };
    const wake = settle(resolve);
    const abort = settle(() => reject(failure("CANCELLED", {}, signal.reason)));
    const timer = setTimeout(
      settle(() => reject(failure("BUSY", { name }))),
      Math.max(0, left),
    );
    waiting.add(wake);
    if (signal.aborted) {
      abort();
    } else {
      signal.addEventListener("abort", abort, { once: true });
    }
  });
}
