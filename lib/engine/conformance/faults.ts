import { planRemoval } from "../../core/snapshots/plan.ts";
import { asStrataError } from "../../errors.ts";
import type { EngineState, Instance } from "../contract.ts";
import { same } from "./assert.ts";
import { type DiskState, diskGroupOf, EXTRA_DISKS, readDisks } from "./disk-model.ts";
import { context, type Fixture, locked, lockOf, MIB, newSpec, take } from "./fixture.ts";
import type { Kit } from "./kit.ts";
import { NotTried } from "./tally.ts";

/** What must be as before, or as after, whatever happened in between. */
interface Seen {
  readonly state: EngineState;
  readonly resources: Instance["resources"];
  readonly snapshots: readonly string[];
  readonly standsOn: string | null;
  readonly contents: string;
  readonly disks: readonly (readonly [string, DiskState])[];
}

type Work = (fixture: Fixture, instance: Instance) => Promise<void>;

const changes: Readonly<Record<string, Work>> = {
  "a snapshot that is taken": (fixture, instance) => take(fixture, instance, "new"),
  "a restore": ({ engine }, { id }) => engine.snapshots.restore(lockOf(id), "first", context()),
  "a deletion": async ({ engine }, { id }) => {
    const removal = planRemoval(await engine.snapshots.tree(id), "first");
    if (removal !== undefined) {
      await engine.snapshots.delete(lockOf(id), removal, context());
    }
  },
  "a rename": ({ engine }, { id }) => engine.snapshots.rename(lockOf(id), "first", "renamed", context()),
  "a resize": ({ engine }, { id }) =>
    engine.instances.resize(lockOf(id), { cpus: 3, memory: 512n * MIB }, context()),
};

/** Those of further disks, in an instance that has some; each is about the last of them, which no snapshot has. */
const diskChanges: Readonly<Record<string, Work>> = {
  "a disk that is added": async (fixture, { id }) => {
    await diskGroupOf(fixture).add(lockOf(id), EXTRA_DISKS[0], context());
  },
  "a disk that is removed": async (fixture, instance) =>
    diskGroupOf(fixture).remove(lockOf(instance.id), await lastDisk(fixture, instance), context()),
  "a disk that is left out": async (fixture, instance) =>
    diskGroupOf(fixture).exclude(lockOf(instance.id), await lastDisk(fixture, instance), true, context()),
  "disks that grow": async ({ engine }, { id, name }) => {
    const disks = (await engine.instances.find(name))?.resources.disks ?? [];
    const grown = disks.map((disk) => ({ name: disk.name, size: disk.size + 4n * MIB }));
    await engine.instances.resize(lockOf(id), { cpus: 3, disks: grown }, context());
  },
};

/** Those of an instance that runs. */
const runningChanges: Readonly<Record<string, Work>> = {
  "a snapshot of a running instance": (fixture, instance) =>
    take(fixture, instance, "new", { consistency: "crash" }),
  "a snapshot that cuts the power": (fixture, instance) =>
    take(fixture, instance, "new", { consistency: "crash", cut: true }),
};

async function lastDisk({ engine }: Fixture, { name }: Instance): Promise<string> {
  return (await engine.instances.find(name))?.resources.disks?.at(-1)?.name ?? "";
}

/** Steps that fail, and a process that dies: all or nothing, and the next lock puts the rest right. */
export function faultTests(kit: Kit): void {
  const withFaults = (title: string, work: (fixture: Fixture) => Promise<void>) =>
    kit.it(title, async (fixture) => {
      if (fixture.fault === undefined) {
        throw new NotTried("the fixture makes no faults");
      }
      await work(fixture);
    });

  withFaults("leave a failed change undone, whichever step failed", (fixture) => strikeAll(fixture, "fail"));

  withFaults("leave all or nothing of a change whose process died", (fixture) => strikeAll(fixture, "die"));

  withFaults("leave no instance that was half made", async (fixture) => {
    for (let step = 1; ; step++) {
      const spec = newSpec(fixture);
      const injected = fixture.fault?.(step, "fail");
      const made = await fixture.engine.instances.create(spec, context()).catch(() => null);
      injected?.[Symbol.dispose]();
      const found = await fixture.engine.instances.find(spec.name);
      same(found === null, made === null, `after a fault at step ${step}`);
      if (made !== null) {
        await remove(fixture, made);
      }
      if (injected?.struck !== true) {
        return;
      }
    }
  });

  withFaults("leave a name free for the next launch, whatever died at the one before", async (fixture) => {
    const { instances } = fixture.engine;
    for (let step = 1; ; step++) {
      const spec = newSpec(fixture);
      const injected = fixture.fault?.(step, "die");
      const made = await instances.create(spec, context()).catch(() => null);
      injected?.[Symbol.dispose]();
      // It may have died with its last step, and left a whole instance.
      const left = made ?? (await instances.find(spec.name));
      const whole = left?.state === "stopped" ? left : null;
      if (whole === null) {
        await instances.check?.(spec);
      }
      const instance = whole ?? (await instances.create(spec, context()));
      same((await instances.list()).filter(({ name }) => name === spec.name).length, 1);
      await remove(fixture, instance);
      if (injected?.struck !== true) {
        return;
      }
    }
  });
}

/** Every change, with a fault at each of its steps in turn. */
async function strikeAll(fixture: Fixture, how: "fail" | "die"): Promise<void> {
  const { features } = await fixture.engine.info();
  const stopped = { ...changes, ...(features.has("disks") ? diskChanges : {}) };
  const running = features.has("snapshot.running") ? runningChanges : {};
  const all = [
    ...Object.entries(stopped).map(([what, work]) => ({ what, work, how, runs: false })),
    ...Object.entries(running).map(([what, work]) => ({ what, work, how, runs: true })),
  ];
  for (const trial of all) {
    const whole = await outcome(fixture, trial);
    let step = 1;
    while (await strike(fixture, trial, step, whole)) {
      step += 1;
    }
    same(step > 1, true, `${trial.what} has no step that could ${how}`);
  }
}

interface Trial {
  readonly what: string;
  readonly work: Work;
  readonly how: "fail" | "die";
  /** Whether the instance runs when the work begins. */
  readonly runs: boolean;
}

/** What the work makes of an instance when nothing goes wrong. */
async function outcome(fixture: Fixture, { work, runs }: Trial): Promise<Seen> {
  const instance = await prepared(fixture);
  try {
    await whileLocked(fixture, instance, async () => {
      if (runs) {
        await fixture.engine.instances.start(lockOf(instance.id), context());
      }
      await work(fixture, instance);
    });
    return await look(fixture, instance);
  } finally {
    await remove(fixture, instance);
  }
}

/** Strikes at one step; false when the work had fewer. */
async function strike(fixture: Fixture, trial: Trial, step: number, whole: Seen): Promise<boolean> {
  const { what, work, how, runs } = trial;
  const instance = await prepared(fixture);
  try {
    const stopped = await look(fixture, instance);
    const before: Seen = runs ? { ...stopped, state: "running" } : stopped;
    let struck = false;
    const failed = await whileLocked(fixture, instance, async () => {
      if (runs) {
        await fixture.engine.instances.start(lockOf(instance.id), context());
      }
      using injected = fixture.fault?.(step, how);
      const error = await work(fixture, instance).then(
        () => undefined,
        (caught: unknown) => asStrataError(caught),
      );
      struck = injected?.struck === true;
      return error !== undefined;
    });
    // Locking finishes or undoes what was left.
    await whileLocked(fixture, instance, async () => {});
    await fixture.audit?.(instance);
    const after = await look(fixture, instance);
    if (how === "die" && failed && undone(after, before, whole)) {
      return struck;
    }
    same(after, failed && how === "fail" ? before : whole, `${what}, after a fault at step ${step}`);
    return struck;
  } finally {
    await remove(fixture, instance);
  }
}

/** Whether it is as before; a power cut may have come, and its snapshot not. */
function undone(after: Seen, before: Seen, whole: Seen): boolean {
  const states = [before.state, whole.state];
  const seen = { ...after, state: states.includes(after.state) ? before.state : after.state };
  return JSON.stringify(seen, big) === JSON.stringify(before, big);
}

function big(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

/**
 * An instance with two snapshots, standing on the second, and something written since. Where the engine has further
 * disks, there is one in both snapshots, and another in none.
 */
async function prepared(fixture: Fixture): Promise<Instance> {
  const { instances, disks } = fixture.engine;
  const extraDisks = disks === undefined ? {} : { extraDisks: EXTRA_DISKS.slice(0, 1) };
  const instance = await instances.create(newSpec(fixture, extraDisks), context());
  const [further] = instance.resources.disks ?? [];
  const write = async (value: number) => {
    await fixture.write(instance, value);
    if (further !== undefined) {
      await fixture.write(instance, value + 1, further.name);
    }
  };
  await whileLocked(fixture, instance, async () => {
    await write(1);
    await take(fixture, instance, "first");
    await write(2);
    await take(fixture, instance, "second");
    await write(3);
    await disks?.add(lockOf(instance.id), EXTRA_DISKS[1], context());
  });
  return instance;
}

/** What is to be seen of it; one that runs is stopped, for its disks to be read. */
async function look(fixture: Fixture, instance: Instance): Promise<Seen> {
  const { snapshots, standsOn } = await fixture.engine.snapshots.tree(instance.id);
  const found = await fixture.engine.instances.find(instance.name);
  if (found === null) {
    throw new Error("the instance is gone");
  }
  if (found.state !== "stopped") {
    const { instances } = fixture.engine;
    await whileLocked(fixture, instance, () => instances.stop(lockOf(found.id), "force", context()));
  }
  return {
    state: found.state,
    resources: found.resources,
    snapshots: snapshots.map(
      ({ name, parent, consistency = "stopped" }) => `${name}, ${consistency}, on ${parent}`,
    ),
    standsOn,
    contents: await fixture.read(instance),
    disks: [...(await readDisks(fixture, instance))],
  };
}

async function whileLocked<T>(fixture: Fixture, instance: Instance, work: () => Promise<T>): Promise<T> {
  await using _lock = await locked(fixture, instance, 10_000);
  return await work();
}

async function remove(fixture: Fixture, instance: Instance): Promise<void> {
  await whileLocked(fixture, instance, () => fixture.engine.instances.remove(lockOf(instance.id), context()));
}
