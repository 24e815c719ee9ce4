import { planRemoval } from "../../core/snapshots/plan.ts";
import type { Consistency, Instance } from "../contract.ts";
import { same } from "./assert.ts";
import { callOff } from "./call-off.ts";
import { EXTRA_DISKS, readDisks } from "./disk-model.ts";
import { context, current, type Fixture, lockOf, recordOf, take, withInstance } from "./fixture.ts";
import { NotTried } from "./tally.ts";

/** Runs a callback on an instance that runs, with a snapshot "stopped" and, where the engine has them, a further disk. */
export async function withStarted(
  fixture: Fixture,
  work: (instance: Instance) => Promise<void>,
): Promise<void> {
  const extra = fixture.engine.disks === undefined ? {} : { extraDisks: EXTRA_DISKS.slice(0, 1) };
  await withInstance(
    fixture,
    async (instance) => {
      await take(fixture, instance, "stopped");
      await fixture.engine.instances.start(lockOf(instance.id), context());
      await work(instance);
    },
    extra,
  );
}

/** Runs a callback while the instance is stopped, and starts it again. */
export async function halted<T>(fixture: Fixture, { id }: Instance, work: () => Promise<T>): Promise<T> {
  const { instances } = fixture.engine;
  await instances.stop(lockOf(id), "force", context());
  const result = await work();
  await instances.start(lockOf(id), context());
  return result;
}

/** All that a stopped instance has on its disks. */
export async function readAll(fixture: Fixture, instance: Instance): Promise<readonly string[]> {
  const further = await readDisks(fixture, instance);
  return [await fixture.read(instance), ...[...further.values()].map(({ contents }) => contents)];
}

/** What the disks hold before anything is written, after the first value, and after both; nothing stays of it. */
export async function rehearsed(fixture: Fixture, instance: Instance) {
  const none = await readAll(fixture, instance);
  await write(fixture, instance, fixture.write, 1);
  const first = await readAll(fixture, instance);
  await write(fixture, instance, fixture.write, 2);
  const then = await readAll(fixture, instance);
  await fixture.engine.snapshots.restore(lockOf(instance.id), "stopped", context());
  return { none, first, then };
}

export function requireWriting(fixture: Fixture): NonNullable<Fixture["writeRunning"]> {
  if (fixture.writeRunning === undefined) {
    throw new NotTried("the fixture does not write while an instance runs");
  }
  return fixture.writeRunning;
}

/** Writes on each of its disks while it runs. */
export async function writeRunning(fixture: Fixture, instance: Instance, value: number): Promise<void> {
  await write(fixture, instance, requireWriting(fixture), value);
}

async function write(
  fixture: Fixture,
  instance: Instance,
  to: Fixture["write"],
  value: number,
): Promise<void> {
  await to.call(fixture, instance, value);
  for (const { name } of (await current(fixture, instance)).resources.disks ?? []) {
    await to.call(fixture, instance, value + 1, name);
  }
}

/** The snapshots of an instance with their consistencies. */
export async function labelsOf(fixture: Fixture, { id }: Instance) {
  const { snapshots } = await fixture.engine.snapshots.tree(id);
  return snapshots.map(({ name, consistency = "stopped" }) => [name, consistency]);
}

/** Deletes a snapshot as the core does. */
export async function removeSnapshot({ engine }: Fixture, { id }: Instance, name: string): Promise<void> {
  const removal = planRemoval(await engine.snapshots.tree(id), name);
  if (removal === undefined) {
    throw new Error(`${name} is not there`);
  }
  await engine.snapshots.delete(lockOf(id), removal, context());
}

/** Calls a snapshot off: it is whole or not there, and the guest runs on. */
export async function callOffTake(
  fixture: Fixture,
  instance: Instance,
  consistency: Consistency,
): Promise<void> {
  await callOff(
    async (call) => {
      const { record, taken } = await recordOf(fixture, instance, "live", { consistency });
      await fixture.engine.snapshots.take(lockOf(instance.id), record, taken, call);
    },
    async (done) => {
      const { state, snapshotCount } = await current(fixture, instance);
      same({ state, snapshotCount }, { state: "running", snapshotCount: done ? 2 : 1 });
      await fixture.audit?.(instance);
      if (done) {
        await removeSnapshot(fixture, instance, "live");
      }
    },
  );
}
