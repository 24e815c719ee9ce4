import type { Consistency, Feature, Instance } from "../contract.ts";
import { rejects, rejectsWithAny, same } from "./assert.ts";
import { context, current, type Fixture, lockOf, take, withInstance } from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";
import { quiesceTests } from "./quiesce.ts";
import {
  callOffTake,
  halted,
  labelsOf,
  readAll,
  rehearsed,
  removeSnapshot,
  requireWriting,
  withStarted,
  writeRunning,
} from "./running-instance.ts";
import { NotTried } from "./tally.ts";

/** Snapshots of what runs. The guests need not boot, but for those whose agent is asked. */
export function runningSnapshotTests(kit: Kit): void {
  const running = (title: string, work: (fixture: Fixture, instance: Instance) => Promise<void>) =>
    feature(kit, "snapshot.running", title, (fixture) =>
      withStarted(fixture, (instance) => work(fixture, instance)),
    );

  running("leave it running, and say how consistent they are", async (fixture, instance) => {
    const { snapshots } = fixture.engine;
    await take(fixture, instance, "live", { consistency: "crash", comment: "as it ran" });
    same((await current(fixture, instance)).state, "running");
    same(await labelsOf(fixture, instance), [
      ["stopped", "stopped"],
      ["live", "crash"],
    ]);
    await snapshots.rename(lockOf(instance.id), "live", "other", context());
    await snapshots.describe(lockOf(instance.id), "other", "anew", context());
    same(await labelsOf(fixture, instance), [
      ["stopped", "stopped"],
      ["other", "crash"],
    ]);
    await fixture.engine.instances.stop(lockOf(instance.id), "force", context());
    await snapshots.restore(lockOf(instance.id), "other", context());
    await take(fixture, instance, "off");
    same(await labelsOf(fixture, instance), [
      ["stopped", "stopped"],
      ["other", "crash"],
      ["off", "stopped"],
    ]);
  });

  running("branch, count and are deleted as others are", async (fixture, instance) => {
    const { instances, snapshots } = fixture.engine;
    const { id } = instance;
    const contents = await halted(fixture, instance, async () => readAll(fixture, instance));
    await take(fixture, instance, "a", { consistency: "crash" });
    await take(fixture, instance, "b", { consistency: "crash" });
    await halted(fixture, instance, () => snapshots.restore(lockOf(id), "a", context()));
    await take(fixture, instance, "c", { consistency: "crash" });
    await removeSnapshot(fixture, instance, "a");
    const { snapshots: left, standsOn } = await snapshots.tree(id);
    const parents = left.map(({ name, parent }) => `${name} on ${parent}`);
    same(parents, ["stopped on null", "b on stopped", "c on stopped"]);
    const { state, snapshotCount, record } = await current(fixture, instance);
    same({ standsOn, state, snapshotCount }, { standsOn: "c", state: "running", snapshotCount: 3 });
    same(record.snapshotsTaken, 4);
    await instances.stop(lockOf(id), "force", context());
    for (const name of ["b", "c"]) {
      await snapshots.restore(lockOf(id), name, context());
      same(await readAll(fixture, instance), contents, name);
    }
    await fixture.audit?.(instance);
  });

  running("hold what was written until then, and nothing that came later", async (fixture, instance) => {
    const { instances, snapshots } = fixture.engine;
    const { id } = instance;
    requireWriting(fixture);
    const states = await halted(fixture, instance, () => rehearsed(fixture, instance));
    await writeRunning(fixture, instance, 1);
    await take(fixture, instance, "live", { consistency: "crash" });
    await writeRunning(fixture, instance, 2);
    await instances.stop(lockOf(id), "force", context());
    same(
      await readAll(fixture, instance),
      states.then,
      "what the guest wrote after the snapshot is in the instance",
    );
    await snapshots.restore(lockOf(id), "live", context());
    same(await readAll(fixture, instance), states.first, "what the snapshot holds");
    await snapshots.restore(lockOf(id), "stopped", context());
    same(await readAll(fixture, instance), states.none, "what the snapshot below holds");
    await fixture.audit?.(instance);
  });

  running("cut the power at that moment when they are told to", async (fixture, instance) => {
    const { snapshots } = fixture.engine;
    if (fixture.writeRunning !== undefined) {
      await writeRunning(fixture, instance, 1);
    }
    await take(fixture, instance, "last", { consistency: "crash", cut: true });
    const { state, snapshotCount } = await current(fixture, instance);
    same({ state, snapshotCount }, { state: "stopped", snapshotCount: 2 });
    const contents = await readAll(fixture, instance);
    await fixture.write(instance, 9);
    await snapshots.restore(lockOf(instance.id), "last", context());
    same(await readAll(fixture, instance), contents, "nothing lies between the snapshot and the end");
    await fixture.engine.instances.start(lockOf(instance.id), context());
  });

  running("are refused in any other state than the one they name", async (fixture, instance) => {
    const { instances } = fixture.engine;
    const { id } = instance;
    const before = await fixture.engine.snapshots.tree(id);
    await rejects(take(fixture, instance, "x"), "WRONG_STATE");
    await rejects(take(fixture, instance, "stopped", { consistency: "crash" }), "SNAPSHOT_EXISTS");
    if (instances.suspend !== undefined) {
      await instances.suspend(lockOf(id), context());
      const suspended = take(fixture, instance, "x", { consistency: "crash" });
      await rejectsWithAny(suspended, ["INSTANCE_SUSPENDED", "WRONG_STATE"]);
    }
    await instances.stop(lockOf(id), "force", context());
    for (const consistency of runningOnes(kit)) {
      await rejects(take(fixture, instance, "x", { consistency }), "WRONG_STATE");
    }
    await rejects(take(fixture, instance, "x", { consistency: "crash", cut: true }), "WRONG_STATE");
    same(await fixture.engine.snapshots.tree(id), before);
    same((await current(fixture, instance)).record.snapshotsTaken, 1);
  });

  running("are whole or not there, whenever they are called off", (fixture, instance) =>
    callOffTake(fixture, instance, "crash"),
  );

  quiesceTests(kit);

  feature(kit, "snapshot.drop-running", "give their room back while the instance runs", async (fixture) => {
    const { storage } = fixture.engine;
    if (storage === undefined) {
      throw new NotTried("the engine does not tell what its files take");
    }
    const kept = async ({ id }: Instance) =>
      (await storage.call(fixture.engine)).instances.find((each) => each.id === id)?.snapshots;
    await withInstance(fixture, async (instance) => {
      for (const value of [1, 2]) {
        await fixture.write(instance, value);
        await take(fixture, instance, `s${value}`);
      }
      const contents = await fixture.read(instance);
      await fixture.engine.instances.start(lockOf(instance.id), context());
      same((await kept(instance)) === 0n, false, "the snapshots take room");
      await removeSnapshot(fixture, instance, "s1");
      await removeSnapshot(fixture, instance, "s2");
      same(await kept(instance), 0n, "what deleted snapshots take while the instance runs");
      same((await current(fixture, instance)).state, "running");
      await fixture.engine.instances.stop(lockOf(instance.id), "force", context());
      same(await fixture.read(instance), contents);
    });
  });
}

/** The consistencies of what runs, as far as the engine has them. */
function runningOnes(kit: Kit): Consistency[] {
  const features: readonly (readonly [Consistency, Feature])[] = [
    ["crash", "snapshot.running"],
    ["files", "snapshot.quiesce"],
    ["memory", "snapshot.memory"],
  ];
  return features.flatMap(([consistency, name]) => (kit.info().features.has(name) ? [consistency] : []));
}
