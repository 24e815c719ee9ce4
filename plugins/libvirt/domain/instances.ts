import type { Instance, InstanceOutline, InstanceRecord, Instances } from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { findInstance, getLocked, type LibvirtEngine, writeMetadata } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { clone } from "../lifecycle/clone.ts";
import { check, create } from "../lifecycle/creation.ts";
import { eject } from "../lifecycle/eject.ts";
import { cut, start, stop, suspend } from "../lifecycle/power.ts";
import { removeInstance } from "../lifecycle/removal.ts";
import { renameInstance } from "../lifecycle/rename.ts";
import { resize } from "../lifecycle/resize.ts";
import { lockInstance } from "../lock/instance-lock.ts";
import { leaseReader } from "../network/networks.ts";
import { footprint } from "./footprint.ts";
import { list, outline } from "./listing.ts";
import { toInstance } from "./view.ts";

export function instanceGroup(engine: LibvirtEngine): Instances {
  const told = <Told extends InstanceOutline | readonly InstanceOutline[] | null>(answer: Told): Told => {
    for (const instance of [answer].flat()) {
      if (instance !== null) {
        engine.names.set(instance.id, instance.name);
      }
    }
    return answer;
  };
  return {
    list: async () => told(await list(engine)),
    outline: async (options) => told(await outline(engine, options)),
    find: async (name) => told(await findByName(engine, name)),
    footprint: (id) => footprint(engine, id),
    lock: (instance, options, context) => lockInstance(engine, instance, options, context),
    check: (plan) => check(engine, plan),
    create: async (spec, context) => told(await create(engine, spec, context)),
    start: async (lock, context) => start(engine, lockedId(engine, lock), context),
    cut: (id) => cut(engine, id),
    stop: async (lock, options, context) => stop(engine, lockedId(engine, lock), options, context),
    suspend: async (lock, context) => suspend(engine, lockedId(engine, lock), context),
    clone: async (lock, copy, context) => told(await clone(engine, lockedId(engine, lock), copy, context)),
    rename: async (lock, to, context) =>
      told(await renameInstance(engine, lockedId(engine, lock), to, context)),
    eject: async (lock, drive, context) => eject(engine, lockedId(engine, lock), drive, context),
    resize: async (lock, change, context) => resize(engine, lockedId(engine, lock), change, context),
    annotate: async (lock, change) => annotate(engine, lockedId(engine, lock), change),
    remove: async (lock) => removeInstance(engine, await getLocked(engine, lockedId(engine, lock))),
  };
}

async function findByName(engine: LibvirtEngine, name: string): Promise<Instance | null> {
  try {
    const managed = await findInstance(engine, name);
    return managed === undefined ? null : await toInstance(managed, leaseReader(engine));
  } catch (error) {
    // It was removed while it was read.
    if (isLibvirt(error, "NO_DOMAIN")) {
      return null;
    }
    throw error;
  }
}

async function annotate(engine: LibvirtEngine, id: string, change: Partial<InstanceRecord>): Promise<void> {
  await writeMetadata(await getLocked(engine, id), { record: change });
}
