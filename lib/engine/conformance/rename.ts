import { rejects, same } from "./assert.ts";
import { context, type Fixture, locked, lockOf, newSpec, take, withInstance } from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";

/** Instances under another name. */
export function renameTests(kit: Kit): void {
  feature(
    kit,
    "rename",
    "keep all that they have: disk, snapshots with their tree, mounts, record",
    (fixture) =>
      withInstance(fixture, async (instance) => {
        const { instances, snapshots } = fixture.engine;
        await grow(fixture, instance);
        const before = { ...(await read(fixture, instance.name)), name: "" };
        const tree = await snapshots.tree(instance.id);
        const contents = await fixture.read(instance);
        const { name } = newSpec(fixture);
        const renamed = await rename(fixture, instance.id, name);
        same([renamed.id, renamed.name], [instance.id, name]);
        same(await instances.find(instance.name), null, "the old name");
        same({ ...(await read(fixture, name)), name: "" }, before);
        same(await snapshots.tree(instance.id), tree);
        same(await fixture.read(renamed), contents);
        await fixture.audit?.(renamed);
        await rename(fixture, instance.id, instance.name);
      }),
  );

  feature(kit, "rename", "go on under the new name: restores, snapshots, deletions", (fixture) =>
    withInstance(fixture, async (instance) => {
      const { snapshots } = fixture.engine;
      const { id } = instance;
      await fixture.write(instance, 1);
      const contents = await fixture.read(instance);
      await take(fixture, instance, "one");
      await fixture.write(instance, 2);
      await take(fixture, instance, "two");
      const renamed = await rename(fixture, id, newSpec(fixture).name);
      await snapshots.restore(lockOf(id), "one", context());
      same(await fixture.read(renamed), contents);
      await take(fixture, renamed, "three");
      await snapshots.rename(lockOf(id), "two", "second", context());
      await snapshots.delete(
        lockOf(id),
        { name: "one", parent: null, children: ["second", "three"] },
        context(),
      );
      const { snapshots: left, standsOn } = await snapshots.tree(id);
      same(left.map(({ name, parent }) => `${name} on ${parent}`).sort(), [
        "second on null",
        "three on null",
      ]);
      same(standsOn, "three");
      await fixture.audit?.(renamed);
      await rename(fixture, id, instance.name);
    }),
  );

  feature(kit, "rename", "keep their name where the new one is taken, or the call was cancelled", (fixture) =>
    withInstance(fixture, async (instance) => {
      const { instances, snapshots } = fixture.engine;
      await grow(fixture, instance);
      const before = [await read(fixture, instance.name), await snapshots.tree(instance.id)];
      const other = await instances.create(newSpec(fixture), context());
      await rejects(rename(fixture, instance.id, other.name), "INSTANCE_EXISTS");
      const cancelled = { ...context(), signal: AbortSignal.abort() };
      const lock = lockOf(instance.id);
      await rejects(Promise.resolve(instances.rename?.(lock, newSpec(fixture).name, cancelled)), "CANCELLED");
      same([await read(fixture, instance.name), await snapshots.tree(instance.id)], before);
      await fixture.audit?.(instance);
      await using otherLock = await locked(fixture, other);
      await instances.remove(otherLock, context());
    }),
  );
}

/** Snapshots in a tree with two branches, on the older of which the instance stands. */
async function grow(fixture: Fixture, instance: Parameters<Fixture["write"]>[0]): Promise<void> {
  await fixture.write(instance, 1);
  await take(fixture, instance, "root");
  await fixture.write(instance, 2);
  await take(fixture, instance, "left");
  await fixture.engine.snapshots.restore(lockOf(instance.id), "root", context());
  await fixture.write(instance, 3);
  await take(fixture, instance, "right");
  await fixture.engine.snapshots.restore(lockOf(instance.id), "left", context());
  await fixture.write(instance, 4);
}

async function read(fixture: Fixture, name: string) {
  const found = await fixture.engine.instances.find(name);
  if (found === null) {
    throw new Error(`"${name}" is gone`);
  }
  return found;
}

async function rename({ engine }: Fixture, id: string, to: string) {
  const renamed = await engine.instances.rename?.(lockOf(id), to, context());
  if (renamed === undefined) {
    throw new Error("the engine renames no instances");
  }
  return renamed;
}
