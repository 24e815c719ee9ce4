import type { Lock, Snapshots } from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { goOn, type Locks, lockedInstance, requireStopped } from "./lock.ts";
import { backAt, withSnapshot } from "./moment.ts";
import type { StoredInstance, StoredSnapshot, World } from "./world.ts";

export function snapshotGroup(world: World, locks: Locks): Snapshots {
  const locked = (lock: Lock) => lockedInstance(world, locks, lock);
  return {
    async tree(id) {
      const { snapshots, standsOn } = await world.get(id);
      const sizeOf = (contents: unknown) => BigInt(JSON.stringify(contents).length);
      return {
        snapshots: snapshots.map(({ contents, further, variables: _, memory, ...record }) => ({
          ...record,
          size: sizeOf({ contents, further }),
          ...(memory === undefined ? {} : { memorySize: sizeOf(memory) }),
        })),
        standsOn,
      };
    },
    async take(lock, record, taken, context, { cut = false } = {}) {
      const { id } = await locked(lock);
      goOn(context);
      world.step("take");
      await world.change([id], (stored) => withSnapshot(stored, record, taken, cut));
    },
    async takeGroup(members, context) {
      const ids = new Set<string>();
      for (const { lock, record } of members) {
        const { id } = await locked(lock);
        ids.add(id);
        if (record.consistency === "memory") {
          const reason = "memory is taken of one instance at a time";
          throw failure("UNSUPPORTED", { what: "memory in a group of snapshots", engine: "memory", reason });
        }
      }
      goOn(context);
      for (const { record } of members) {
        world.step(`take ${record.name}`);
      }
      await world.change([...ids], (stored) =>
        members
          .filter(({ lock }) => lock.instance.id === stored.id)
          .reduce((now, { record, taken }) => withSnapshot(now, record, taken, false), stored),
      );
    },
    async restore(lock, name, context, { memory = false } = {}) {
      const stored = await locked(lock);
      requireStopped(stored, "Only stopped instances can be restored");
      const snapshot = find(stored, name);
      goOn(context);
      world.step("restore");
      await world.put(backAt(stored, snapshot, memory));
    },
    async delete(lock, { name, parent, children }, context) {
      const stored = await locked(lock);
      if (stored.state === "suspended") {
        throw failure("INSTANCE_SUSPENDED", {
          name: stored.name,
          reason: "A snapshot cannot be deleted now",
        });
      }
      goOn(context);
      world.step("delete");
      await world.change([stored.id], (now) => ({
        ...now,
        snapshots: now.snapshots
          .filter((snapshot) => snapshot.name !== name)
          .map((snapshot) => (children.includes(snapshot.name) ? { ...snapshot, parent } : snapshot)),
        standsOn: now.standsOn === name ? parent : now.standsOn,
      }));
    },
    async rename(lock, name, to, context) {
      const stored = await locked(lock);
      goOn(context);
      find(stored, name);
      if (to !== name && stored.snapshots.some((snapshot) => snapshot.name === to)) {
        throw failure("SNAPSHOT_EXISTS", { name: stored.name, snapshot: to });
      }
      const renamed = (old: string | null) => (old === name ? to : old);
      world.step("rename");
      await world.put({
        ...stored,
        snapshots: stored.snapshots.map((snapshot) => ({
          ...snapshot,
          ...(snapshot.name === name ? { name: to } : {}),
          parent: renamed(snapshot.parent),
        })),
        standsOn: renamed(stored.standsOn),
        ...(stored.resumes === name ? { resumes: to } : {}),
      });
    },
    async describe(lock, name, comment, context) {
      const stored = await locked(lock);
      goOn(context);
      find(stored, name);
      world.step("describe");
      await world.put({
        ...stored,
        snapshots: stored.snapshots.map((snapshot) =>
          snapshot.name === name ? { ...snapshot, comment } : snapshot,
        ),
      });
    },
  };
}

function find(stored: StoredInstance, name: string): StoredSnapshot {
  const found = stored.snapshots.find((snapshot) => snapshot.name === name);
  if (found === undefined) {
    throw failure("SNAPSHOT_NOT_FOUND", { name: stored.name, snapshot: name });
  }
  return found;
}
