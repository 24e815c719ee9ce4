import type { Context, Hold } from "../../lib/backend/contract.ts";
import { failure } from "../../lib/errors.ts";
import type { StoredInstance, World } from "./world.ts";

/** Who holds what, and who waits for it. */
export interface Holds {
  readonly held: Map<string, Set<() => void>>;
}

/** Fails unless the caller's process holds the instance. */
export async function heldInstance(world: World, holds: Holds, id: string): Promise<StoredInstance> {
  if (!holds.held.has(id)) throw failure("INTERNAL", { reason: `no hold on ${id}` });
  return world.get(id);
}

/** Rejects with CANCELLED when the call was called off. */
export function goOn({ signal }: Context): void {
  if (signal.aborted) throw failure("CANCELLED", {}, signal.reason);
}

/** Ends all holds at once, as the death of their holder does. */
export function releaseAll({ held }: Holds): void {
  const waiting = [...held.values()].flatMap((each) => [...each]);
  held.clear();
  for (const wake of waiting) wake();
}

/** Rejects with the state's own error unless the instance is stopped. */
export function requireStopped({ name, state }: StoredInstance, reason: string): void {
  if (state === "suspended") throw failure("INSTANCE_SUSPENDED", { name, reason });
  if (state !== "stopped") throw failure("WRONG_STATE", { name, reason, state: "Running" });
}

/** First come, first served. */
export async function hold(
  world: World,
  holds: Holds,
  id: string,
  wait: number,
  { signal }: Context,
): Promise<Hold> {
  const { name } = await world.get(id);
  const end = Date.now() + wait;
  for (;;) {
    const waiting = holds.held.get(id);
    if (waiting === undefined) break;
    await turn(waiting, end - Date.now(), signal, name);
  }
  const mine = new Set<() => void>();
  holds.held.set(id, mine);
  const release = async () => {
    // One that was lost may be somebody else's by now.
    if (holds.held.get(id) === mine) holds.held.delete(id);
    for (const wake of mine) wake();
  };
  await world.get(id).catch(async (error: unknown) => {
    await release();
    throw error;
  });
  return { id, [Symbol.asyncDispose]: release };
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
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}
