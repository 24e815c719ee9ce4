import type { Lock, Snapshots } from "strata-vm/engine";
import { failure } from "./failure.ts";
import { goOn, requireStopped } from "./instances.ts";
import { type Locks, lockedInstance } from "./lock.ts";
import type { Store, Stored } from "./store.ts";

/**
 * A snapshot is a copy of the disk beside the record that strata hands over. Parents, names and the counter
 * are strata's business: this keeps them, and changes them when told to.
 */
export function snapshotGroup(store: Store, locks: Locks): Snapshots {
  const get = (lock: Lock) => lockedInstance(store, locks, lock);
  return {
    async tree(id) {
      const { snapshots, standsOn } = await store.get(id);
      return {
        snapshots: snapshots.map(({ disk, ...record }) => ({
          ...record,
          size: BigInt(Object.values(disk).reduce((sum, file) => sum + file.length, 0)),
        })),
        standsOn,
      };
    },
    async take(lock, record, taken, context) {
      const stored = await get(lock);
      requireStopped(stored, "Only stopped instances can be snapshotted");
      requireFree(stored, record.name);
      goOn(context);
      const { disk, snapshots } = stored;
      await store.put({
        ...stored,
        snapshots: [...snapshots, { ...record, disk }],
        standsOn: record.name,
        record: { ...stored.record, snapshotsTaken: taken },
      });
    },
    async restore(lock, name, context) {
      const stored = await get(lock);
      requireStopped(stored, "Only stopped instances can be restored");
      const { disk, resources, mounts, nics, cloudInstanceId } = find(stored, name);
      goOn(context);
      await store.put({
        ...stored,
        disk,
        resources,
        mounts,
        nics,
        standsOn: name,
        record: { ...stored.record, cloudInstanceId },
      });
    },
    async delete(lock, { name, parent, children }, context) {
      const stored = await get(lock);
      goOn(context);
      await store.put({
        ...stored,
        snapshots: stored.snapshots
          .filter((snapshot) => snapshot.name !== name)
          .map((snapshot) => (children.includes(snapshot.name) ? { ...snapshot, parent } : snapshot)),
        standsOn: stored.standsOn === name ? parent : stored.standsOn,
      });
    },
    async rename(lock, name, to, context) {
      const stored = await get(lock);
      find(stored, name);
      if (to !== name) {
        requireFree(stored, to);
      }
      goOn(context);
      const renamed = (old: string | null) => (old === name ? to : old);
      await store.put({
        ...stored,
        snapshots: stored.snapshots.map((snapshot) => ({
          ...snapshot,
          ...(snapshot.name === name ? { name: to } : {}),
          parent: renamed(snapshot.parent),
        })),
        standsOn: renamed(stored.standsOn),
      });
    },
    async describe(lock, name, comment, context) {
      const stored = await get(lock);
      const found = find(stored, name);
      goOn(context);
      await store.put({
        ...stored,
        snapshots: stored.snapshots.map((snapshot) =>
          snapshot === found ? { ...snapshot, comment } : snapshot,
        ),
      });
    },
  };
}

function find({ name, snapshots }: Stored, wanted: string) {
  const found = snapshots.find((snapshot) => snapshot.name === wanted);
  if (found === undefined) {
    throw failure("SNAPSHOT_NOT_FOUND", { name, snapshot: wanted });
  }
  return found;
}

function requireFree({ name, snapshots }: Stored, wanted: string): void {
  if (snapshots.some((snapshot) => snapshot.name === wanted)) {
    throw failure("SNAPSHOT_EXISTS", { name, snapshot: wanted });
  }
}
