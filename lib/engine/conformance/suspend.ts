import { planRemoval } from "../../core/snapshots/plan.ts";
import type { Context, Instance } from "../contract.ts";
import { rejects, same } from "./assert.ts";
import { cloneSpec } from "./clone.ts";
import { context, current, type Fixture, lockOf, MIB, take, withInstance } from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";

/** Memory kept over a stop. The guests of this suite need not boot: that they run is enough. */
export function suspendTests(kit: Kit): void {
  feature(kit, "suspend", "parts neither disk nor resources from the memory that is kept", (fixture) =>
    withSuspended(fixture, async (instance) => {
      const { instances, snapshots } = fixture.engine;
      const { id } = instance;
      const removal = planRemoval(await snapshots.tree(id), "one");
      if (removal === undefined) {
        throw new Error("the snapshot is not there");
      }
      await suspend(fixture, id);
      same((await current(fixture, instance)).state, "suspended", "suspended again");
      await rejects(take(fixture, instance, "two"), "INSTANCE_SUSPENDED");
      await rejects(snapshots.restore(lockOf(id), "one", context()), "INSTANCE_SUSPENDED");
      await rejects(snapshots.delete(lockOf(id), removal, context()), "INSTANCE_SUSPENDED");
      await rejects(instances.resize(lockOf(id), { memory: 384n * MIB }, context()), "INSTANCE_SUSPENDED");
      await rejects(instances.stop(lockOf(id), { grace: 1000 }, context()), "INSTANCE_SUSPENDED");
      if (instances.clone !== undefined) {
        await rejects(instances.clone(lockOf(id), cloneSpec(instance), context()), "INSTANCE_SUSPENDED");
      }
      await instances.start(lockOf(id), context());
      same((await current(fixture, instance)).state, "running");
      await instances.stop(lockOf(id), "force", context());
    }),
  );

  feature(kit, "suspend", "drops the memory when the power is cut", (fixture) =>
    withSuspended(fixture, async (instance) => {
      await fixture.engine.instances.stop(lockOf(instance.id), "force", context());
      same((await current(fixture, instance)).state, "stopped");
      await take(fixture, instance, "two");
    }),
  );

  feature(kit, "suspend", "has nothing to keep of what does not run", (fixture) =>
    withInstance(fixture, async (instance) => {
      await rejects(suspend(fixture, instance.id), "WRONG_STATE");
      same((await current(fixture, instance)).state, "stopped");
    }),
  );

  feature(kit, "suspend", "goes with the instance that is removed", async (fixture) => {
    let name = "";
    await withSuspended(fixture, async (instance) => {
      name = instance.name;
    });
    same(await fixture.engine.instances.find(name), null);
  });
}

/** Runs a callback on an instance with a snapshot "one" that was started and suspended. */
async function withSuspended(fixture: Fixture, work: (instance: Instance) => Promise<void>): Promise<void> {
  await withInstance(fixture, async (instance) => {
    await take(fixture, instance, "one");
    await fixture.engine.instances.start(lockOf(instance.id), context());
    await suspend(fixture, instance.id);
    same((await current(fixture, instance)).state, "suspended");
    await work(instance);
  });
}

async function suspend(fixture: Fixture, id: string, call: Context = context()): Promise<void> {
  const { instances } = fixture.engine;
  if (instances.suspend === undefined) {
    throw new Error("the engine cannot suspend");
  }
  await instances.suspend(lockOf(id), call);
}
