import {
  type Context,
  type InstanceRecord,
  type Instances,
  mergeRecord,
  type Resources,
} from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { failure } from "../../../lib/errors.ts";
import type { LxdEngine } from "../engine.ts";
import { getReady, removeInstance } from "../journal/recovery.ts";
import { clone } from "../lifecycle/clone.ts";
import { check, create } from "../lifecycle/creation.ts";
import { isMachine, requireAttainable } from "../lifecycle/machines.ts";
import { start, stop, suspend } from "../lifecycle/power.ts";
import { rename } from "../lifecycle/rename.ts";
import { lockInstance } from "../lock/instance-lock.ts";
import { whenIdle, writeConfig } from "./changes.ts";
import { limitKeys, ROOT, readResources } from "./devices.ts";
import { footprint } from "./footprint.ts";
import { findManaged, getLocked, instancePath, listAll, managedOf } from "./managed.ts";
import { ownKeys } from "./records.ts";
import { lostMember, requireStopped, toInstance, unreachable } from "./view.ts";

export function instanceGroup(engine: LxdEngine): Instances {
  return {
    list: async () => {
      const all = await listAll(engine);
      const lost = all.flatMap((instance) => {
        const member = lostMember(instance);
        return member === undefined ? [] : unreachable(instance.name, member);
      });
      return [...managedOf(engine, all).map(toInstance), ...lost];
    },
    find: async (name) => {
      const managed = await findManaged(engine, name);
      return managed === undefined ? null : toInstance(managed);
    },
    footprint: (id) => footprint(engine, id),
    lock: (instance, options, context) => lockInstance(engine, instance, options, context),
    check: (plan) => check(engine, plan),
    create: (spec, context) => create(engine, spec, context),
    start: async (lock, context) => start(engine, lockedId(engine, lock), context),
    stop: async (lock, options, context) => stop(engine, lockedId(engine, lock), options, context),
    suspend: async (lock, context) => suspend(engine, lockedId(engine, lock), context),
    clone: async (lock, copy, context) => clone(engine, lockedId(engine, lock), copy, context),
    rename: async (lock, to, context) => rename(engine, lockedId(engine, lock), to, context),
    resize: async (lock, change, context) => resize(engine, lockedId(engine, lock), change, context),
    annotate: async (lock, change) => annotate(engine, lockedId(engine, lock), change),
    remove: async (lock) => removeInstance(engine, await getLocked(engine, lockedId(engine, lock))),
  };
}

async function resize(
  engine: LxdEngine,
  id: string,
  change: Partial<Resources>,
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id);
  requireStopped(managed, "Only stopped instances can be resized");
  const { name, instance, config } = managed;
  const { disk: current } = readResources(config, instance.devices);
  const { disk } = change;
  if (disk !== undefined && disk < current) {
    throw failure("DISK_SHRINK", { name, current, wanted: disk });
  }
  if (isMachine(managed)) {
    await requireAttainable(engine, change, managed.member);
  }
  const grows = disk !== undefined && disk > current;
  context.signal.throwIfAborted();
  const root = { ...instance.devices[ROOT], ...(grows ? { size: String(disk) } : {}) };
  // A single change in LXD: all of it or nothing.
  const body = { config: limitKeys(change), ...(grows ? { devices: { [ROOT]: root } } : {}) };
  await whenIdle(() => engine.client.run("PATCH", instancePath(name), body));
}

async function annotate(engine: LxdEngine, id: string, change: Partial<InstanceRecord>): Promise<void> {
  const { name, own } = await getLocked(engine, id);
  await writeConfig(engine, name, ownKeys({ ...own, record: mergeRecord(own.record, change) }));
}
