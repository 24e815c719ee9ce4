import { planRemoval } from "../../core/snapshots/plan.ts";
import type { Feature, Instance } from "../contract.ts";
import { adoptedRecord } from "./adoption.ts";
import { rejects, same } from "./assert.ts";
import { cloneSpec } from "./clone.ts";
import { diskGroupOf, disksInOrder, EXTRA_DISKS, readDisks } from "./disk-model.ts";
import {
  context,
  current,
  type Fixture,
  locked,
  lockOf,
  MIB,
  newSpec,
  take,
  withInstance,
} from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";
import { NotDeclared, NotTried } from "./tally.ts";

/** Disks beside the system disk. */
export function diskTests(kit: Kit): void {
  const test = (title: string, work: (fixture: Fixture) => Promise<void>) =>
    feature(kit, "disks", title, work);
  const withFeature = (further: Feature, title: string, work: (fixture: Fixture) => Promise<void>) =>
    test(title, async (fixture) => {
      if (!kit.info().features.has(further)) {
        throw new NotDeclared(further);
      }
      await work(fixture);
    });

  kit.it("are refused where the engine declares none, and nothing is made", async (fixture) => {
    if (kit.info().features.has("disks")) {
      throw new NotTried("further disks are declared");
    }
    const spec = newSpec(fixture, { extraDisks: EXTRA_DISKS });
    await rejects(
      withInstance(fixture, async () => {}, spec),
      "UNSUPPORTED",
    );
    same(await fixture.engine.instances.find(spec.name), null);
  });

  test("come with a new instance, in the order that was asked for", (fixture) =>
    withDisks(fixture, async (instance, [first, second]) => {
      same(instance.resources.disks, [
        { name: first, size: EXTRA_DISKS[0] },
        { name: second, size: EXTRA_DISKS[1] },
      ]);
      same((await current(fixture, instance)).resources, instance.resources);
      const listed = (await fixture.engine.instances.list()).find(({ id }) => id === instance.id);
      same(listed?.resources, instance.resources, "in the list");
    }));

  test("are brought back by a restore, all as they were at one moment", (fixture) =>
    withDisks(fixture, async (instance, names) => {
      const { snapshots } = fixture.engine;
      await writeAll(fixture, instance, names, 1);
      const one = await readAll(fixture, instance);
      await take(fixture, instance, "one");
      await writeAll(fixture, instance, names, 4);
      const two = await readAll(fixture, instance);
      await take(fixture, instance, "two");
      const [, recorded] = (await snapshots.tree(instance.id)).snapshots;
      same(recorded?.resources, instance.resources, "what the snapshot records");
      await fixture.write(instance, 7, names[1]);
      for (const [name, contents] of [["one", one] as const, ["two", two] as const]) {
        await snapshots.restore(lockOf(instance.id), name, context());
        same(await readAll(fixture, instance), contents, name);
      }
      await fixture.audit?.(instance);
    }));

  test("keep what they hold when another snapshot is deleted", (fixture) =>
    withDisks(fixture, async (instance, names) => {
      const { snapshots } = fixture.engine;
      const contents = new Map<string, unknown>();
      for (const [name, value] of [["a", 1] as const, ["b", 2] as const, ["c", 3] as const]) {
        // Not every disk has something new in every layer.
        await writeAll(fixture, instance, name === "b" ? names.slice(0, 1) : names, value);
        await take(fixture, instance, name);
        contents.set(name, await readAll(fixture, instance));
      }
      await snapshots.restore(lockOf(instance.id), "a", context());
      await writeAll(fixture, instance, names, 4);
      await take(fixture, instance, "d");
      contents.set("d", await readAll(fixture, instance));
      for (const name of ["b", "a"]) {
        await drop(fixture, instance, name);
        await fixture.audit?.(instance);
      }
      for (const name of ["c", "d"]) {
        await snapshots.restore(lockOf(instance.id), name, context());
        same(await readAll(fixture, instance), contents.get(name), name);
      }
    }));

  test("are added and removed, to and from stopped instances alone", (fixture) =>
    withInstance(fixture, async (instance) => {
      const { instances } = fixture.engine;
      const group = diskGroupOf(fixture);
      const lock = lockOf(instance.id);
      same(instance.resources.disks, undefined, "at first");
      const added = await group.add(lock, 16n * MIB, context());
      same((await current(fixture, instance)).resources.disks, [added]);
      same(added, { name: added.name, size: 16n * MIB });
      const another = await group.add(lock, 24n * MIB, context());
      await rejects(group.remove(lock, "no-such-disk", context()), "DISK_NOT_FOUND");
      await instances.start(lock, context());
      await rejects(group.add(lock, 16n * MIB, context()), "WRONG_STATE");
      await rejects(group.remove(lock, added.name, context()), "WRONG_STATE");
      await instances.stop(lock, "force", context());
      same((await current(fixture, instance)).resources.disks, [added, another]);
      await group.remove(lock, added.name, context());
      same((await current(fixture, instance)).resources.disks, [another]);
      await group.remove(lock, another.name, context());
      same((await current(fixture, instance)).resources.disks, undefined, "once they are removed");
      await fixture.audit?.(instance);
    }));

  test("are not removed while a snapshot has their contents", (fixture) =>
    withDisks(fixture, async (instance, [first, second]) => {
      const group = diskGroupOf(fixture);
      const lock = lockOf(instance.id);
      await group.exclude(lock, second, true, context());
      await take(fixture, instance, "one");
      const before = await current(fixture, instance);
      await rejects(group.remove(lock, first, context()), "DISK_IN_SNAPSHOT");
      same(await current(fixture, instance), before);
      await group.remove(lock, second, context());
      await drop(fixture, instance, "one");
      await group.remove(lock, first, context());
      same((await current(fixture, instance)).resources.disks, undefined);
    }));

  test("come and go with restores to snapshots that have others", (fixture) =>
    withInstance(fixture, async (instance) => {
      const { snapshots } = fixture.engine;
      const lock = lockOf(instance.id);
      await take(fixture, instance, "without");
      const { name } = await diskGroupOf(fixture).add(lock, 16n * MIB, context());
      await fixture.write(instance, 1, name);
      const contents = await readAll(fixture, instance);
      await take(fixture, instance, "with");
      await snapshots.restore(lock, "without", context());
      same((await current(fixture, instance)).resources.disks, undefined, "without");
      await fixture.audit?.(instance);
      const other = await diskGroupOf(fixture).add(lock, 24n * MIB, context());
      same(other.name === name, false, "a name that a snapshot has is not that of another disk");
      await take(fixture, instance, "other");
      await snapshots.restore(lock, "with", context());
      same((await current(fixture, instance)).resources.disks, [{ name, size: 16n * MIB }], "with");
      same(await readAll(fixture, instance), contents);
      await fixture.audit?.(instance);
    }));

  test("are neither in snapshots nor touched by restores while they are excluded", (fixture) =>
    withDisks(fixture, async (instance, names) => {
      const { snapshots } = fixture.engine;
      const group = diskGroupOf(fixture);
      const lock = lockOf(instance.id);
      const [covered, excluded] = names;
      await writeAll(fixture, instance, names, 1);
      await take(fixture, instance, "both");
      const both = await readAll(fixture, instance);
      await group.exclude(lock, excluded, true, context());
      await group.exclude(lock, excluded, true, context());
      await rejects(group.exclude(lock, "no-such-disk", true, context()), "DISK_NOT_FOUND");
      same(await readAll(fixture, instance), both, "its contents once it is excluded");
      const told = (await current(fixture, instance)).resources.disks?.map(({ excluded: out }) => out);
      same(told, [undefined, true], "how the instance tells it");
      await take(fixture, instance, "one");
      const recorded = (await snapshots.tree(instance.id)).snapshots.at(-1)?.resources.disks;
      same(
        recorded?.map(({ excluded: out }) => out),
        [undefined, true],
        "how the snapshot tells it",
      );
      await writeAll(fixture, instance, names, 4);
      const now = await fixture.read(instance, excluded);
      for (const name of ["one", "both"]) {
        await snapshots.restore(lock, name, context());
        same(await fixture.read(instance, excluded), now, `the excluded one, restored to ${name}`);
        same(await fixture.read(instance, covered), both[covered], `the covered one, restored to ${name}`);
        same((await current(fixture, instance)).resources.disks?.at(-1)?.excluded, true, name);
      }
      await group.exclude(lock, excluded, false, context());
      await snapshots.restore(lock, "one", context());
      same(await fixture.read(instance, excluded), now, "a snapshot without its contents leaves it alone");
      same((await current(fixture, instance)).resources.disks?.at(-1)?.excluded, undefined);
      await snapshots.restore(lock, "both", context());
      same(await readAll(fixture, instance), both, "a snapshot with its contents brings them back");
      await fixture.audit?.(instance);
    }));

  test("are not lost by a restore to a snapshot that never knew them, while they are excluded", (fixture) =>
    withInstance(fixture, async (instance) => {
      const lock = lockOf(instance.id);
      await take(fixture, instance, "without");
      const { name } = await diskGroupOf(fixture).add(lock, 16n * MIB, context());
      await diskGroupOf(fixture).exclude(lock, name, true, context());
      await fixture.write(instance, 1, name);
      const before = await readDisks(fixture, instance);
      await fixture.engine.snapshots.restore(lock, "without", context());
      same([...(await readDisks(fixture, instance))], [...before]);
    }));

  test("are not brought back by a restore, once removed, where the snapshot left them out", (fixture) =>
    withDisks(fixture, async (instance, [first, second]) => {
      const lock = lockOf(instance.id);
      await diskGroupOf(fixture).exclude(lock, second, true, context());
      await take(fixture, instance, "one");
      await diskGroupOf(fixture).remove(lock, second, context());
      await fixture.engine.snapshots.restore(lock, "one", context());
      same((await current(fixture, instance)).resources.disks, [{ name: first, size: EXTRA_DISKS[0] }]);
      await fixture.audit?.(instance);
    }));

  test("grow as they are named, all or none, and never shrink", (fixture) =>
    withDisks(fixture, async (instance, names) => {
      const { instances, snapshots } = fixture.engine;
      const lock = lockOf(instance.id);
      const [first, second] = names;
      await writeAll(fixture, instance, names, 1);
      await take(fixture, instance, "small");
      await instances.resize(lock, { cpus: 2, disks: [{ name: second, size: 40n * MIB }] }, context());
      const grown = [
        { name: first, size: EXTRA_DISKS[0] },
        { name: second, size: 40n * MIB },
      ];
      const { disks, ...others } = (await current(fixture, instance)).resources;
      same(disksInOrder(disks), grown);
      const { disks: _, ...before } = instance.resources;
      same(others, { ...before, cpus: 2 }, "the rest");
      for (const [change, code] of [
        [{ cpus: 3, disks: [{ name: second, size: 32n * MIB }] }, "DISK_SHRINK"],
        [{ cpus: 3, disks: [{ name: "no-such-disk", size: 64n * MIB }] }, "DISK_NOT_FOUND"],
      ] as const) {
        await rejects(instances.resize(lock, change, context()), code);
        same((await current(fixture, instance)).resources, { ...others, disks: grown }, code);
      }
      await snapshots.restore(lock, "small", context());
      same((await current(fixture, instance)).resources, instance.resources, "restored");
    }));

  withFeature("clone", "are in a clone, but for the excluded ones", (fixture) =>
    withDisks(fixture, async (original, names) => {
      const { instances } = fixture.engine;
      const [covered, excluded] = names;
      await writeAll(fixture, original, names, 1);
      await take(fixture, original, "one");
      await fixture.write(original, 2, covered);
      await diskGroupOf(fixture).exclude(lockOf(original.id), excluded, true, context());
      const contents = await fixture.read(original, covered);
      const copy = await instances.clone?.(lockOf(original.id), cloneSpec(original), context());
      if (copy === undefined) {
        throw new Error("the engine cannot clone");
      }
      await using lock = await locked(fixture, copy);
      try {
        same(copy.resources.disks, [{ name: covered, size: EXTRA_DISKS[0] }]);
        same(await fixture.read(copy, covered), contents);
        await fixture.write(copy, 3, covered);
        same(await fixture.read(original, covered), contents, "the original");
        await fixture.audit?.(copy);
      } finally {
        await instances.remove(lock, context());
      }
    }),
  );

  withFeature(
    "adopt",
    "of what is adopted are covered, but for those that it is told to exclude",
    (fixture) =>
      withForeignDisks(fixture, async (instance, [covered, excluded]) => {
        same(
          instance.resources.disks?.map(({ name, excluded: out }) => [name, out]),
          [
            [covered, undefined],
            [excluded, true],
          ],
        );
        await using lock = await locked(fixture, instance);
        await writeAll(fixture, instance, [covered, excluded], 1);
        const contents = await fixture.read(instance, covered);
        await take(fixture, instance, "one");
        await writeAll(fixture, instance, [covered, excluded], 4);
        const now = await fixture.read(instance, excluded);
        await fixture.engine.snapshots.restore(lock, "one", context());
        same(await fixture.read(instance, covered), contents, "the covered one");
        same(await fixture.read(instance, excluded), now, "the excluded one");
      }),
  );
}

type Names = readonly [string, string];

/** Runs a callback on a new, locked instance with two further disks. */
function withDisks(
  fixture: Fixture,
  work: (instance: Instance, names: Names) => Promise<void>,
): Promise<void> {
  return withInstance(
    fixture,
    async (instance) => {
      const [first, second] = instance.resources.disks ?? [];
      if (first === undefined || second === undefined) {
        throw new Error(`it was to have two further disks, and has ${JSON.stringify(instance.resources)}`);
      }
      await work(instance, [first.name, second.name]);
    },
    { extraDisks: EXTRA_DISKS },
  );
}

async function withForeignDisks(
  fixture: Fixture,
  work: (instance: Instance, names: Names) => Promise<void>,
): Promise<void> {
  const { adoption, instances } = fixture.engine;
  if (fixture.foreign === undefined || adoption === undefined) {
    throw new Error("the fixture makes no foreign instance, or the engine adopts none");
  }
  await using foreign = await fixture.foreign({ disks: 2 });
  const [covered, excluded] = foreign.disks ?? [];
  if (covered === undefined || excluded === undefined) {
    throw new NotTried("the fixture makes no foreign instance with two further disks");
  }
  const record = adoptedRecord();
  const unknown = adoption.adopt(foreign.name, record, context(), { exclude: ["no-such-disk"] });
  await rejects(unknown, "DISK_NOT_FOUND");
  const instance = await adoption.adopt(foreign.name, record, context(), { exclude: [excluded] });
  try {
    await work(instance, [covered, excluded]);
  } finally {
    await using lock = await locked(fixture, instance);
    await instances.remove(lock, context());
  }
}

/** Something else on each disk. */
async function writeAll(
  fixture: Fixture,
  instance: Instance,
  names: readonly string[],
  value: number,
): Promise<void> {
  await fixture.write(instance, value);
  for (const [at, name] of names.entries()) {
    await fixture.write(instance, value + at + 1, name);
  }
}

/** What all disks hold, by name; the system disk under "". */
async function readAll(fixture: Fixture, instance: Instance): Promise<Readonly<Record<string, string>>> {
  const further = [...(await readDisks(fixture, instance))].map(([name, { contents }]) => [name, contents]);
  return { "": await fixture.read(instance), ...Object.fromEntries(further) };
}

async function drop({ engine }: Fixture, { id }: Instance, name: string): Promise<void> {
  const removal = planRemoval(await engine.snapshots.tree(id), name);
  if (removal === undefined) {
    throw new Error(`${name} is not there`);
  }
  await engine.snapshots.delete(lockOf(id), removal, context());
}
