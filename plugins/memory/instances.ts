import { randomUUID } from "node:crypto";
import type { Context, Hold, Instance, Instances } from "../../lib/backend/contract.ts";
import { failure } from "../../lib/errors.ts";
import { newMac, toNic } from "./networks.ts";
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

function view(stored: StoredInstance): Instance {
  const { contents: _, snapshots, standsOn: __, ...rest } = stored;
  return {
    ...rest,
    addresses: stored.state === "running" ? ["10.0.0.1"] : [],
    snapshotCount: snapshots.length,
  };
}

export function instanceGroup(world: World, holds: Holds): Instances {
  const held = (id: string) => heldInstance(world, holds, id);
  return {
    list: async () => (await world.all()).map(view),
    find: async (name) => {
      const found = (await world.all()).find((instance) => instance.name === name);
      return found === undefined ? null : view(found);
    },
    hold: (id, options, context) => hold(world, holds, id, options.wait, context),
    check: ({ name }) => requireFree(world, name),
    async create(spec, context) {
      goOn(context);
      await requireFree(world, spec.name);
      world.step("create");
      const stored: StoredInstance = {
        id: randomUUID(),
        name: spec.name,
        state: "stopped",
        resources: spec.resources,
        mounts: spec.mounts,
        nics: spec.networks.map(toNic),
        record: spec.record,
        contents: {},
        snapshots: [],
        standsOn: null,
      };
      await world.put(stored);
      return view(stored);
    },
    async start(id, context) {
      const stored = await held(id);
      goOn(context);
      world.step("start");
      await world.put({ ...stored, state: "running" });
    },
    async stop(id, options) {
      const stored = await held(id);
      if (stored.state === "suspended" && options !== "force")
        throw failure("INSTANCE_SUSPENDED", {
          name: stored.name,
          reason: "A suspended instance cannot be shut down",
        });
      world.step("stop");
      await world.put({ ...stored, state: "stopped" });
    },
    async suspend(id) {
      const stored = await held(id);
      if (stored.state === "suspended") return;
      if (stored.state !== "running")
        throw failure("WRONG_STATE", {
          name: stored.name,
          reason: "Only running instances can be suspended",
          state: "Stopped",
        });
      world.step("suspend");
      await world.put({ ...stored, state: "suspended" });
    },
    async clone(id, copy, context) {
      const stored = await held(id);
      requireStopped(stored, "Only stopped instances can be cloned");
      goOn(context);
      await requireFree(world, copy.name);
      world.step("clone");
      const { name, record } = copy;
      const nics = stored.nics.map((nic) => ({ ...nic, mac: newMac() }));
      const made = { ...stored, id: randomUUID(), name, record, nics, snapshots: [], standsOn: null };
      await world.put(made);
      return view(made);
    },
    async resize(id, change, context) {
      const stored = await held(id);
      goOn(context);
      const { name, resources } = stored;
      requireStopped(stored, "Only stopped instances can be resized");
      if (change.disk !== undefined && change.disk < resources.disk)
        throw failure("DISK_SHRINK", { name, current: resources.disk, wanted: change.disk });
      world.step("resize");
      await world.put({ ...stored, resources: { ...resources, ...change } });
    },
    async annotate(id, change) {
      const stored = await held(id);
      await world.put({ ...stored, record: { ...stored.record, ...change } });
    },
    async remove(id) {
      await held(id);
      world.step("remove");
      await world.remove(id);
    },
  };
}

async function requireFree(world: World, name: string): Promise<void> {
  if ((await world.all()).some((each) => each.name === name)) throw failure("INSTANCE_EXISTS", { name });
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
async function hold(
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
