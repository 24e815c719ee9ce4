import type { Instance, InstanceRecord, Instances } from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { findDomain, getLocked, type LibvirtEngine, readManaged, writeMetadata } from "../engine.ts";
import { isLibvirt, mapped } from "../errors.ts";
import { clone } from "../lifecycle/clone.ts";
import { check, create } from "../lifecycle/creation.ts";
import { cut, start, stop, suspend } from "../lifecycle/power.ts";
import { removeInstance } from "../lifecycle/removal.ts";
import { resize } from "../lifecycle/resize.ts";
import { lockInstance } from "../lock/instance-lock.ts";
import { leaseReader } from "../network/networks.ts";
import { list, outline } from "./listing.ts";
import { toInstance } from "./view.ts";

export function instanceGroup(engine: LibvirtEngine): Instances {
  return {
    list: () => mapped(() => list(engine)),
    outline: () => mapped(() => outline(engine)),
    find: (name) => mapped(() => findByName(engine, name)),
    lock: (instance, options, context) =>
      mapped(() => lockInstance(engine, instance, options, context), { name: instance.name }),
    check: (plan) => mapped(() => check(engine, plan)),
    create: (spec, context) => mapped(() => create(engine, spec, context)),
    start: (lock, context) => mapped(() => start(engine, lockedId(engine, lock), context)),
    cut: (id) => mapped(() => cut(engine, id)),
    stop: (lock, options, context) => mapped(() => stop(engine, lockedId(engine, lock), options, context)),
    suspend: (lock, context) => mapped(() => suspend(engine, lockedId(engine, lock), context)),
    clone: (lock, copy, context) => mapped(() => clone(engine, lockedId(engine, lock), copy, context)),
    resize: (lock, change, context) => mapped(() => resize(engine, lockedId(engine, lock), change, context)),
    annotate: (lock, change) => mapped(() => annotate(engine, lockedId(engine, lock), change)),
    remove: (lock) =>
      mapped(async () => removeInstance(engine, await getLocked(engine, lockedId(engine, lock)))),
  };
}

async function findByName(engine: LibvirtEngine, name: string): Promise<Instance | null> {
  try {
    const domain = await findDomain(engine, name);
    const managed = domain === null ? undefined : await readManaged(domain);
    return managed === undefined ? null : await toInstance(managed, leaseReader(engine));
  } catch (error) {
    // Gone while it was looked at.
    if (isLibvirt(error, "NO_DOMAIN")) {
      return null;
    }
    throw error;
  }
}

async function annotate(engine: LibvirtEngine, id: string, change: Partial<InstanceRecord>): Promise<void> {
  await writeMetadata(await getLocked(engine, id), { record: change });
}
