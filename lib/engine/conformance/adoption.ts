import { planRemoval } from "../../core/snapshots/plan.ts";
import { type Adoption, type Instance, RECORD_VERSION } from "../contract.ts";
import { rejects, same } from "./assert.ts";
import {
  context,
  current,
  type Fixture,
  type Foreign,
  locked,
  lockOf,
  take,
  withInstance,
} from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";

/** Instances made without strata, brought in and let go. */
export function adoptionTests(kit: Kit): void {
  feature(kit, "adopt", "takes over what can be listed, snapshotted, restored and let go", (fixture) =>
    withForeign(fixture, async (foreign, adoption) => {
      const { instances, snapshots } = fixture.engine;
      same(await instances.find(foreign.name), null, "before");
      const offered = await adoption.candidates();
      same(
        offered.filter(({ name }) => name === foreign.name),
        [{ name: foreign.name, obstacle: null }],
      );
      const before = await foreign.digest();
      const instance = await adoption.adopt(foreign.name, adoptedRecord(), context());
      same(await current(fixture, instance), instance);
      same({ record: instance.record, state: instance.state }, { record: adoptedRecord(), state: "stopped" });
      await rejects(adoption.adopt(foreign.name, adoptedRecord(), context()), "INSTANCE_EXISTS");
      await using lock = await locked(fixture, instance);
      const contents = await fixture.read(instance);
      await take(fixture, instance, "one");
      await fixture.write(instance, 1);
      const changed = await fixture.read(instance);
      await take(fixture, instance, "two");
      await fixture.audit?.(instance);
      await snapshots.restore(lockOf(instance.id), "one", context());
      same(await fixture.read(instance), contents, "restored");
      same(await foreign.digest(), before, "its own disk");
      await rejects(adoption.release(lockOf(instance.id), context()), "HAS_SNAPSHOTS");
      await snapshots.restore(lockOf(instance.id), "two", context());
      for (const name of ["one", "two"]) {
        await drop(fixture, instance, name);
      }
      same(await fixture.read(instance), changed, "after the snapshots");
      await adoption.release(lockOf(instance.id), context());
      await lock[Symbol.asyncDispose]();
      same(await instances.find(foreign.name), null, "after");
      const again = await adoption.adopt(foreign.name, adoptedRecord(), context());
      same(await fixture.read(again), changed, "what was let go holds what it held");
    }),
  );

  feature(kit, "adopt", "is let go with nothing changed where nothing was done", (fixture) =>
    withForeign(fixture, async (foreign, adoption) => {
      const { instances } = fixture.engine;
      const before = await foreign.digest();
      const instance = await adoption.adopt(foreign.name, adoptedRecord(), context());
      const lock = await locked(fixture, instance);
      await adoption.release(lock, context());
      await lock[Symbol.asyncDispose]();
      same(await foreign.digest(), before);
      await rejects(instances.lock(instance, { wait: 0 }, context()), "INSTANCE_NOT_FOUND");
    }),
  );

  feature(kit, "adopt", "keeps its own disk when it is removed for good", (fixture) =>
    withForeign(fixture, async (foreign, adoption) => {
      const { instances } = fixture.engine;
      const before = await foreign.digest();
      const instance = await adoption.adopt(foreign.name, adoptedRecord(), context());
      const lock = await locked(fixture, instance);
      await take(fixture, instance, "one");
      await fixture.write(instance, 1);
      await take(fixture, instance, "two");
      await instances.remove(lock, context());
      await lock[Symbol.asyncDispose]();
      same(await instances.find(foreign.name), null);
      same(await foreign.digest(), before);
    }),
  );

  feature(kit, "adopt", "refuses what is not there, and to let go what strata made", async (fixture) => {
    const adoption = adoptionOf(fixture);
    await rejects(adoption.adopt("no-such-instance", adoptedRecord(), context()), "INSTANCE_NOT_FOUND");
    await withInstance(fixture, async (instance) => {
      await rejects(adoption.adopt(instance.name, instance.record, context()), "INSTANCE_EXISTS");
      await rejects(adoption.release(lockOf(instance.id), context()), "UNSUPPORTED");
      same(await current(fixture, instance), instance);
    });
  });
}

function adoptionOf({ engine }: Fixture): Adoption {
  if (engine.adoption === undefined) {
    throw new Error("the engine cannot adopt");
  }
  return engine.adoption;
}

/** The record of an instance that is adopted. */
export function adoptedRecord(): Instance["record"] {
  return {
    version: RECORD_VERSION,
    image: { sha256: "", release: "", os: "" },
    username: "admin",
    deleted: false,
    snapshotsTaken: 0,
    cloudInstanceId: "",
    createdAt: 1_700_000_000_789,
  };
}

async function drop(fixture: Fixture, { id }: Instance, name: string): Promise<void> {
  const { snapshots } = fixture.engine;
  const removal = planRemoval(await snapshots.tree(id), name);
  if (removal === undefined) {
    throw new Error(`${name} is not there`);
  }
  await snapshots.delete(lockOf(id), removal, context());
}

async function withForeign(
  fixture: Fixture,
  work: (foreign: Foreign, adoption: Adoption) => Promise<void>,
): Promise<void> {
  if (fixture.foreign === undefined) {
    throw new Error("the fixture makes no foreign instance");
  }
  await using foreign = await fixture.foreign();
  await work(foreign, adoptionOf(fixture));
}
