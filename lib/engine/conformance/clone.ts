import type { CloneSpec, Context, Instance } from "../contract.ts";
import { rejects, same } from "./assert.ts";
import { context, current, type Fixture, locked, lockOf, newSpec, take, withInstance } from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";

/** Full, independent copies. */
export function cloneTests(kit: Kit): void {
  feature(kit, "clone", "hold what the original holds, and neither changes the other", (fixture) =>
    withInstance(fixture, async (original) => {
      const { snapshots } = fixture.engine;
      await fixture.write(original, 1);
      await take(fixture, original, "one");
      await fixture.write(original, 2);
      await take(fixture, original, "two");
      await fixture.write(original, 3);
      const contents = await fixture.read(original);
      const before = { tree: await snapshots.tree(original.id), instance: await current(fixture, original) };
      await withClone(fixture, original, async (copy) => {
        same(await fixture.read(copy), contents);
        await fixture.audit?.(copy);
        await fixture.write(copy, 4);
        same(await fixture.read(original), contents, "the original");
        const ofCopy = await fixture.read(copy);
        await fixture.write(original, 5);
        await snapshots.restore(lockOf(original.id), "one", context());
        same(await fixture.read(copy), ofCopy, "the copy");
        await snapshots.restore(lockOf(original.id), "two", context());
      });
      const after = await current(fixture, original);
      same({ ...after, addresses: [] }, { ...before.instance, addresses: [] });
      same(
        (await snapshots.tree(original.id)).snapshots.map(({ name }) => name),
        before.tree.snapshots.map(({ name }) => name),
      );
      await fixture.audit?.(original);
    }),
  );

  feature(kit, "clone", "have an identity and a record of their own, and no snapshots", (fixture) =>
    withInstance(fixture, async (original) => {
      await take(fixture, original, "one");
      const spec = cloneSpec(original);
      await withClone(
        fixture,
        original,
        async (made) => {
          const copy = await current(fixture, made);
          same(copy.id === original.id, false, "the id");
          const { name, record, resources, mounts, state, snapshotCount } = copy;
          same({ name, record }, { name: spec.name, record: spec.record });
          same({ resources, mounts }, { resources: original.resources, mounts: original.mounts });
          same({ state, snapshotCount }, { state: "stopped", snapshotCount: 0 });
          same(await fixture.engine.snapshots.tree(copy.id), { snapshots: [], standsOn: null });
          await take(fixture, copy, "one");
          await fixture.engine.snapshots.restore(lockOf(copy.id), "one", context());
        },
        spec,
      );
    }),
  );

  feature(kit, "clone", "outlive the original", async (fixture) => {
    const { instances } = fixture.engine;
    const original = await instances.create(newSpec(fixture), context());
    const lock = await locked(fixture, original);
    await fixture.write(original, 1);
    const contents = await fixture.read(original);
    await withClone(fixture, original, async (copy) => {
      await instances.remove(lock, context());
      await lock[Symbol.asyncDispose]();
      same(await fixture.read(copy), contents);
    });
  });

  feature(kit, "clone", "are not made under a name that is taken, nor when cancelled", (fixture) =>
    withInstance(fixture, async (original) => {
      const { instances } = fixture.engine;
      const copy = cloneSpec(original);
      const taken = { ...copy, name: original.name };
      await rejects(clone(fixture, original, taken), "INSTANCE_EXISTS");
      const abort = new AbortController();
      abort.abort();
      const cancelled = clone(fixture, original, copy, { ...context(), signal: abort.signal });
      await rejects(cancelled, "CANCELLED");
      const named = (await instances.list()).filter(({ name }) => [original.name, copy.name].includes(name));
      same(
        named.map(({ id }) => id),
        [original.id],
      );
      same((await current(fixture, original)).state, "stopped");
    }),
  );
}

/** A specification of a copy with a name that nobody else has. */
export function cloneSpec({ name, record }: Pick<Instance, "name" | "record">): CloneSpec {
  const { hostKey: _, ...rest } = record;
  return {
    name: `${name}-copy`,
    seed: {
      metaData: "instance-id: i-2\n",
      userData: "#cloud-config\n{}\n",
      vendorData: "#cloud-config\n{}\n",
    },
    record: { ...rest, snapshotsTaken: 0, cloudInstanceId: "i-2", createdAt: 1_700_000_000_456 },
  };
}

async function clone(
  fixture: Fixture,
  { id }: Instance,
  spec: CloneSpec,
  call: Context = context(),
): Promise<Instance> {
  const { instances } = fixture.engine;
  if (instances.clone === undefined) {
    throw new Error("the engine cannot clone");
  }
  return instances.clone(lockOf(id), spec, call);
}

/** Runs a callback on a new, locked copy of a locked instance, and removes it afterwards. */
export async function withClone(
  fixture: Fixture,
  original: Instance,
  work: (copy: Instance) => Promise<void>,
  spec: CloneSpec = cloneSpec(original),
): Promise<void> {
  const { instances } = fixture.engine;
  const copy = await clone(fixture, original, spec);
  await using _lock = await locked(fixture, copy);
  try {
    await work(copy);
  } finally {
    await instances.remove(lockOf(copy.id), context());
  }
}
