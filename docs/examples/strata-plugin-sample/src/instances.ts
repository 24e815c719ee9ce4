import { randomUUID } from "node:crypto";
import type { Context, Instance, Instances, Lock } from "strata-vm/engine";
import { failure } from "./failure.ts";
import { type Locks, lockedInstance, lockFile, lockInstance } from "./lock.ts";
import type { Store, Stored } from "./store.ts";

function view({ disk: _, snapshots, standsOn: __, ...rest }: Stored): Instance {
  return { ...rest, addresses: [], snapshotCount: snapshots.length };
}

/** Every long call asks first whether it was called off. */
export function goOn({ signal }: Context): void {
  if (signal.aborted) {
    throw failure("CANCELLED", {}, signal.reason);
  }
}

/** Rejects with WRONG_STATE, saying `reason`, unless the instance is stopped. */
export function requireStopped({ name, state }: Stored, reason: string): void {
  if (state !== "stopped") {
    throw failure("WRONG_STATE", { name, reason, state: "Running" });
  }
}

/** How long another creation may take, ms: it only writes a file. */
const NAMES_TIMEOUT_MS = 60_000;

export function instanceGroup(store: Store, locks: Locks): Instances {
  const get = (lock: Lock) => lockedInstance(store, locks, lock);
  return {
    list: async () => (await store.all()).map(view),
    async find(name) {
      const found = (await store.all()).find((stored) => stored.name === name);
      return found === undefined ? null : view(found);
    },
    lock: (instance, options, context) => lockInstance(store, locks, instance, options, context, view),
    async create(spec, context) {
      goOn(context);
      const { signal } = context;
      const { name, resources, mounts, networks, extraDisks = [], record } = spec;
      if (mounts.length > 0 || networks.length > 0 || extraDisks.length > 0) {
        const what = "a mount, network or further disk";
        throw failure("UNSUPPORTED", { what, engine: "sample", reason: "it has none" });
      }
      // From the look at the names until the new one is there.
      await using _names = await lockFile(store.lockPath("names"), { name, wait: NAMES_TIMEOUT_MS, signal });
      if ((await store.all()).some((stored) => stored.name === name)) {
        throw failure("INSTANCE_EXISTS", { name });
      }
      const stored: Stored = {
        id: randomUUID(),
        name,
        state: "stopped",
        resources,
        mounts: [],
        nics: [],
        record,
        disk: {},
        snapshots: [],
        standsOn: null,
      };
      await store.put(stored);
      return view(stored);
    },
    async start(lock, context) {
      const stored = await get(lock);
      goOn(context);
      await store.put({ ...stored, state: "running" });
    },
    stop: async (lock) => store.put({ ...(await get(lock)), state: "stopped" }),
    async resize(lock, change, context) {
      const stored = await get(lock);
      const { name, resources } = stored;
      requireStopped(stored, "Only stopped instances can be resized");
      if (change.disk !== undefined && change.disk < resources.disk) {
        throw failure("DISK_SHRINK", { name, current: resources.disk, wanted: change.disk });
      }
      goOn(context);
      await store.put({ ...stored, resources: { ...resources, ...change } });
    },
    async annotate(lock, change) {
      const stored = await get(lock);
      // Members that are undefined are left alone, and those that nobody here knows are kept.
      const named = Object.entries(change).filter(([, value]) => value !== undefined);
      await store.put({ ...stored, record: { ...stored.record, ...Object.fromEntries(named) } });
    },
    async remove(lock) {
      const { id } = await get(lock);
      await store.remove(id);
    },
  };
}
