import type { Instance, InstanceRecord, Instances } from "../../../lib/backend/contract.ts";
import { type Engine, findDomain, getHeld, readManaged, writeMetadata } from "../engine.ts";
import { isLibvirt, mapped } from "../errors.ts";
import { clone } from "../lifecycle/clone.ts";
import { check, create } from "../lifecycle/creation.ts";
import { cut, start, stop, suspend } from "../lifecycle/power.ts";
import { removeInstance } from "../lifecycle/removal.ts";
import { resize } from "../lifecycle/resize.ts";
import { hold } from "../lock/hold.ts";
import { leaseReader } from "../network/networks.ts";
import { list, outline } from "./listing.ts";
import { toInstance } from "./view.ts";

export function instanceGroup(engine: Engine): Instances {
  return {
    list: () => mapped(() => list(engine)),
    outline: () => mapped(() => outline(engine)),
    find: (name) => mapped(() => findByName(engine, name)),
    hold: (id, options, context) => mapped(() => hold(engine, id, options, context), { name: id }),
    check: (plan) => mapped(() => check(engine, plan)),
    create: (spec, context) => mapped(() => create(engine, spec, context)),
    start: (id, context) => mapped(() => start(engine, id, context)),
    cut: (id) => mapped(() => cut(engine, id)),
    stop: (id, options, context) => mapped(() => stop(engine, id, options, context)),
    suspend: (id, context) => mapped(() => suspend(engine, id, context)),
    clone: (id, copy, context) => mapped(() => clone(engine, id, copy, context)),
    resize: (id, change, context) => mapped(() => resize(engine, id, change, context)),
    annotate: (id, change) => mapped(() => annotate(engine, id, change)),
    remove: (id) => mapped(async () => removeInstance(engine, await getHeld(engine, id))),
  };
}

async function findByName(engine: Engine, name: string): Promise<Instance | null> {
  try {
    const domain = await findDomain(engine, name);
    const managed = domain === null ? undefined : await readManaged(domain);
    return managed === undefined ? null : await toInstance(managed, leaseReader(engine));
  } catch (error) {
    // Gone while it was looked at.
    if (isLibvirt(error, "NO_DOMAIN")) return null;
    throw error;
  }
}

async function annotate(engine: Engine, id: string, change: Partial<InstanceRecord>): Promise<void> {
  await writeMetadata(await getHeld(engine, id), { record: change });
}
