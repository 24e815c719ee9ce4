import { realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import type fc from "fast-check";
import { planRemoval } from "../../core/snapshots/plan.ts";
import type { Disk, Instance, Mount, Removal, Resources } from "../contract.ts";
import { same } from "./assert.ts";
import {
  type DiskStates,
  disksInOrder,
  EXTRA_DISKS,
  readDisks,
  restoredDisks,
  stepDisks,
  toldDisks,
} from "./disk-model.ts";
import { context, current, type Fixture, lockOf, MIB, take, withInstance } from "./fixture.ts";

/** What a snapshot must bring back. */
interface Saved {
  parent: string | null;
  contents: string;
  resources: Omit<Resources, "disks">;
  mounts: readonly Mount[];
  disks: DiskStates;
}

/** The plain model: every snapshot a copy. */
interface Model {
  snapshots: Map<string, Saved>;
  standsOn: string | null;
  contents: string;
  resources: Omit<Resources, "disks">;
  mounts: readonly Mount[];
  disks: DiskStates;
}

/** One step; `pick` chooses among the snapshots that are there when it runs. */
function stepsOf({ oneof, record, constant, constantFrom, integer, nat, boolean }: typeof fc) {
  return oneof(
    {
      weight: 4,
      arbitrary: record({
        kind: constant("write" as const),
        value: integer({ min: 1, max: 255 }),
        pick: nat(),
      }),
    },
    {
      weight: 4,
      arbitrary: record({ kind: constant("take" as const), live: constantFrom(true, false, false, false) }),
    },
    { weight: 3, arbitrary: record({ kind: constant("restore" as const), pick: nat() }) },
    { weight: 4, arbitrary: record({ kind: constant("delete" as const), pick: nat() }) },
    { weight: 1, arbitrary: record({ kind: constant("rename" as const), pick: nat() }) },
    { weight: 2, arbitrary: record({ kind: constant("optimize" as const) }) },
    {
      weight: 1,
      arbitrary: record({ kind: constant("mount" as const), at: integer({ min: 0, max: 2 }) }),
    },
    {
      weight: 1,
      arbitrary: record({
        kind: constant("resize" as const),
        cpus: integer({ min: 1, max: 4 }),
        grow: boolean(),
      }),
    },
    {
      weight: 3,
      arbitrary: record({
        kind: constant("disk" as const),
        change: constantFrom("add" as const, "remove" as const, "exclude" as const, "grow" as const),
        pick: nat(),
      }),
    },
  );
}

type Step = ReturnType<typeof stepsOf> extends fc.Arbitrary<infer T> ? T : never;

/** Loads what only tests need, so that strata can be installed without it. */
async function loadFastCheck(): Promise<typeof fc> {
  try {
    return (await import("fast-check")).default;
  } catch (error) {
    throw new Error("the random trees need fast-check: `npm install --save-dev fast-check`", {
      cause: error,
    });
  }
}

/**
 * Random sequences of writing, taking, restoring, deleting, renaming, resizing and mounting against the model:
 * after each sequence the instance and every snapshot hold what the model says, all of the disks compared. Where the
 * engine has further disks, half of the sequences have some, and add, remove, exclude and grow them; where it takes
 * snapshots of running instances, a quarter of the snapshots are such.
 */
export async function randomTrees(
  fixture: Fixture,
  options: { readonly runs: number; readonly steps: number; readonly seed?: number },
): Promise<void> {
  const fc = await loadFastCheck();
  const steps = fc.array(stepsOf(fc), { minLength: options.steps, maxLength: options.steps });
  const { features } = await fixture.engine.info();
  const property = fc.asyncProperty(steps, fc.boolean(), async (sequence, several) => {
    const extra = several && features.has("disks");
    const chosen = extra ? sequence : sequence.filter(({ kind }) => kind !== "disk");
    await withInstance(
      fixture,
      (instance) => run(fixture, instance, chosen, features.has("snapshot.running")),
      extra ? { extraDisks: EXTRA_DISKS } : {},
    );
  });
  await fc.assert(property, {
    numRuns: options.runs,
    // Shrinking on a real engine takes longer than reading the sequence that failed.
    endOnFailure: true,
    ...(options.seed === undefined ? {} : { seed: options.seed }),
  });
}

async function run(
  fixture: Fixture,
  instance: Instance,
  sequence: readonly Step[],
  live: boolean,
): Promise<void> {
  const { disks: _, ...resources } = instance.resources;
  const model: Model = {
    snapshots: new Map(),
    standsOn: null,
    contents: await fixture.read(instance),
    resources,
    mounts: [],
    disks: await readDisks(fixture, instance),
  };
  let counter = 0;
  for (const each of sequence) {
    counter += 1;
    await apply({ fixture, instance, model, live }, each, `s${counter}`);
  }
  await compare(fixture, instance, model);
}

/** A sequence under way. */
interface Run {
  readonly fixture: Fixture;
  readonly instance: Instance;
  readonly model: Model;
  /** Whether snapshots are taken of it while it runs, too. */
  readonly live: boolean;
}

async function apply(on: Run, each: Step, fresh: string): Promise<void> {
  const { fixture, instance, model } = on;
  const lock = lockOf(instance.id);
  switch (each.kind) {
    case "write":
      return write(on, each);
    case "disk":
      model.disks = await stepDisks(fixture, instance, each, model.disks, model.snapshots.values());
      return;
    case "take": {
      await (each.live && on.live ? takeRunning(fixture, instance, fresh) : take(fixture, instance, fresh));
      const { contents, resources, mounts, disks, standsOn: parent } = model;
      model.snapshots.set(fresh, { parent, contents, resources, mounts, disks });
      model.standsOn = fresh;
      return;
    }
    case "optimize":
      await fixture.engine.readImages?.build(lock, context());
      return;
    case "mount":
      model.mounts = await toggleMount(fixture, instance.id, model.mounts, `/mnt/${each.at}`);
      return;
    case "resize":
      return resize(on, each);
    default: {
      const name = [...model.snapshots.keys()][each.pick % Math.max(1, model.snapshots.size)];
      const saved = name === undefined ? undefined : model.snapshots.get(name);
      if (name !== undefined && saved !== undefined) {
        await change(on, each.kind, name, saved, fresh);
      }
    }
  }
}

/** Takes a snapshot while the instance runs; nothing in it writes. */
async function takeRunning(fixture: Fixture, instance: Instance, name: string): Promise<void> {
  const { instances } = fixture.engine;
  await instances.start(lockOf(instance.id), context());
  await take(fixture, instance, name, { consistency: "crash" });
  await instances.stop(lockOf(instance.id), "force", context());
}

/** Writes on the system disk as often as on each of the others. */
async function write(
  { fixture, instance, model }: Run,
  { value, pick }: { readonly value: number; readonly pick: number },
): Promise<void> {
  const [disk, state] = [...model.disks][pick % (model.disks.size + 1)] ?? [];
  if (disk === undefined || state === undefined) {
    await fixture.write(instance, value);
    model.contents = await fixture.read(instance);
    return;
  }
  await fixture.write(instance, value, disk);
  model.disks = new Map(model.disks).set(disk, { ...state, contents: await fixture.read(instance, disk) });
}

async function resize(
  { fixture, instance, model }: Run,
  { cpus, grow }: { readonly cpus: number; readonly grow: boolean },
): Promise<void> {
  const { disk, memory } = model.resources;
  const grows = (await fixture.engine.info()).features.has("disk.grow");
  const resources = { cpus, memory, disk: grow && grows ? disk + 4n * MIB : disk };
  const { instances } = fixture.engine;
  await instances.resize(lockOf(instance.id), { cpus, disk: resources.disk }, context());
  model.resources = resources;
  // A grown disk has zeros at its end.
  model.contents = await fixture.read(instance);
}

/** Does something with a snapshot that is there. */
async function change(
  { fixture, instance, model }: Run,
  kind: "restore" | "delete" | "rename",
  name: string,
  saved: Saved,
  fresh: string,
): Promise<void> {
  const { snapshots } = fixture.engine;
  const lock = lockOf(instance.id);
  if (kind === "restore") {
    await snapshots.restore(lock, name, context());
    const { contents, resources, mounts } = saved;
    const disks = restoredDisks(model.disks, saved.disks);
    Object.assign(model, { contents, resources, mounts, disks, standsOn: name });
    return;
  }
  if (kind === "delete") {
    await remove(fixture, instance, name);
    model.snapshots.delete(name);
    reparent(model, name, saved.parent);
    return;
  }
  await snapshots.rename(lock, name, fresh, context());
  await snapshots.describe(lock, fresh, `was ${name}`, context());
  // Order of creation stays, so the map is made anew with the name in its old place.
  model.snapshots = new Map([...model.snapshots].map(([key, value]) => [key === name ? fresh : key, value]));
  reparent(model, name, fresh);
}

/** Deletes a snapshot as the core does; what the engine plans by itself must be the same. */
async function remove({ engine }: Fixture, { id }: Instance, name: string): Promise<void> {
  const { snapshots } = engine;
  const removal = planRemoval(await snapshots.tree(id), name);
  if (removal === undefined) {
    throw new Error(`${name} is not in the engine's tree`);
  }
  const planned = await snapshots.removal?.(id, name);
  if (planned != null) {
    same(inOrder(planned), inOrder(removal));
  }
  await snapshots.delete(lockOf(id), removal, context());
}

/** What stood on `name` stands on `parent`. */
function reparent(model: Model, name: string, parent: string | null): void {
  for (const other of model.snapshots.values()) {
    if (other.parent === name) {
      other.parent = parent;
    }
  }
  if (model.standsOn === name) {
    model.standsOn = parent;
  }
}

function inOrder({ children, ...rest }: Removal): Removal {
  return { ...rest, children: [...children].sort() };
}

/** Mounts a folder that every host has, or takes it away where it is mounted. */
async function toggleMount(
  { engine }: Fixture,
  id: string,
  mounts: readonly Mount[],
  target: string,
): Promise<readonly Mount[]> {
  if (engine.mounts === undefined) {
    return mounts;
  }
  if (mounts.some((mount) => mount.target === target)) {
    await engine.mounts.detach(lockOf(id), target, context());
    return mounts.filter((mount) => mount.target !== target);
  }
  const mount: Mount = {
    source: realpathSync(tmpdir()),
    target,
    type: "native",
    uidMap: [],
    gidMap: [],
  };
  await engine.mounts.attach(lockOf(id), mount, context());
  return [...mounts, mount];
}

/** A snapshot does not have what an excluded disk holds, and need not tell its size. */
const untold = (disks: readonly Disk[]) =>
  disks.map((disk) => (disk.excluded === true ? { ...disk, size: 0n } : disk));

const targetsOf = (mounts: readonly Mount[]) => mounts.map(({ target }) => target).sort();

async function compare(fixture: Fixture, instance: Instance, model: Model): Promise<void> {
  const { snapshots } = fixture.engine;
  const tree = await snapshots.tree(instance.id);
  const actual = tree.snapshots.map(({ name, parent, resources, mounts }) => {
    const { disks, ...others } = resources;
    return { name, parent, resources: others, disks: untold(disksInOrder(disks)), mounts: targetsOf(mounts) };
  });
  const expected = [...model.snapshots].map(([name, { parent, resources, disks, mounts }]) => {
    return { name, parent, resources, disks: untold(toldDisks(disks)), mounts: targetsOf(mounts) };
  });
  same(actual, expected, "the tree");
  same(tree.standsOn, model.standsOn, "where the instance stands");
  await compareNow(fixture, instance, model, "the instance");
  await fixture.audit?.(instance);
  let { disks } = model;
  for (const [name, saved] of model.snapshots) {
    await snapshots.restore(lockOf(instance.id), name, context());
    disks = restoredDisks(disks, saved.disks);
    await compareNow(fixture, instance, { ...saved, disks }, name);
  }
  await fixture.audit?.(instance);
}

async function compareNow(
  fixture: Fixture,
  instance: Instance,
  { contents, resources, mounts, disks }: Omit<Saved, "parent">,
  whose: string,
): Promise<void> {
  same(await fixture.read(instance), contents, `the disk of ${whose}`);
  const now = await current(fixture, instance);
  const { disks: told, ...others } = now.resources;
  same(others, resources, `the resources of ${whose}`);
  same(disksInOrder(told), toldDisks(disks), `the further disks of ${whose}`);
  for (const [name, state] of disks) {
    same(await fixture.read(instance, name), state.contents, `${name} of ${whose}`);
  }
  same(targetsOf(now.mounts), targetsOf(mounts), `the mounts of ${whose}`);
}
