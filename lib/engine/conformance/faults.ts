import { asStrataError } from "../../errors.ts";
import type { EngineState, Instance } from "../contract.ts";
import { same } from "./assert.ts";
import { type DiskState, EXTRA_DISKS, readDisks } from "./disk-model.ts";
import { context, type Fixture, locked, lockOf, newSpec, take } from "./fixture.ts";
import type { Kit } from "./kit.ts";
import { NotTried } from "./tally.ts";
import { type Trial, trialsOf } from "./trials.ts";

/** What must be as before, or as after, whatever happened in between. */
interface Seen {
  readonly state: EngineState;
  readonly resumes: string | undefined;
  readonly resources: Instance["resources"];
  readonly snapshots: readonly string[];
  readonly standsOn: string | null;
  readonly contents: string;
  readonly disks: readonly (readonly [string, DiskState])[];
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
  for (const trial of trialsOf(features)) {
    const whole = await outcome(fixture, trial);
    let step = 1;
    while (await strike(fixture, trial, { how, step }, whole)) {
      step += 1;
    }
    same(step > 1, true, `${trial.what} has no step that could ${how}`);
  }
}

/** What the work makes of an instance when nothing goes wrong. */
async function outcome(fixture: Fixture, trial: Trial): Promise<Seen> {
  const instance = await prepared(fixture);
  try {
    await whileLocked(fixture, instance, async () => {
      await trial.ready?.(fixture, instance);
      await begin(fixture, instance, trial);
      await trial.work(fixture, instance);
    });
    return await look(fixture, instance);
  } finally {
    await remove(fixture, instance);
  }
}

/** Strikes at one step; false when the work had fewer. */
async function strike(
  fixture: Fixture,
  trial: Trial,
  { how, step }: { readonly how: "fail" | "die"; readonly step: number },
  whole: Seen,
): Promise<boolean> {
  const instance = await prepared(fixture);
  try {
    await whileLocked(fixture, instance, async () => trial.ready?.(fixture, instance));
    const ready = await look(fixture, instance);
    const before: Seen = trial.runs ? { ...ready, state: "running" } : ready;
    let struck = false;
    const failed = await whileLocked(fixture, instance, async () => {
      await begin(fixture, instance, trial);
      using injected = fixture.fault?.(step, how);
      const error = await trial.work(fixture, instance).then(
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
    if (how === "die" && failed && isUndone(after, before, whole)) {
      return struck;
    }
    same(after, failed && how === "fail" ? before : whole, `${trial.what}, after a fault at step ${step}`);
    return struck;
  } finally {
    await remove(fixture, instance);
  }
}

async function begin({ engine }: Fixture, { id }: Instance, { runs }: Trial): Promise<void> {
  if (runs) {
    await engine.instances.start(lockOf(id), context());
  }
}

/** Whether it is as before; of a snapshot that was to cut the power, the cut alone may have come. */
function isUndone(after: Seen, before: Seen, whole: Seen): boolean {
  const cut = after.state === "stopped" && whole.state === "stopped";
  const seen = cut ? { ...after, state: before.state } : after;
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
  if (found.state === "running") {
    const { instances } = fixture.engine;
    await whileLocked(fixture, instance, () => instances.stop(lockOf(found.id), "force", context()));
  }
  return {
    state: found.state,
    resumes: found.resumes,
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
