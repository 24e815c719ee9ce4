import { planRemoval } from "../../core/snapshots/plan.ts";
import type { EngineEvent } from "../contract.ts";
import { same, within } from "./assert.ts";
import { context, type Fixture, locked, newSpec, take } from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";

/** How long an event may take to come, ms. */
const EVENT_TIMEOUT_MS = 20_000;

/** What an engine tells of changes. */
export function eventTests(kit: Kit): void {
  feature(kit, "events", "tell of every change of an instance and of its snapshots", (fixture) =>
    whileWatching(fixture, async (heard) => {
      const { instances, snapshots } = fixture.engine;
      const instance = await instances.create(newSpec(fixture), context());
      const { id } = instance;
      await heard(id, "changed");
      const lock = await locked(fixture, instance);
      await instances.annotate(lock, { deleted: true });
      await heard(id, "changed");
      await take(fixture, instance, "one");
      await heard(id, "changed");
      await snapshots.restore(lock, "one", context());
      await heard(id, "changed");
      await snapshots.rename(lock, "one", "two", context());
      await heard(id, "changed");
      const removal = planRemoval(await snapshots.tree(id), "two");
      if (removal === undefined) {
        throw new Error("the snapshot is not there");
      }
      await snapshots.delete(lock, removal, context());
      await heard(id, "changed");
      await instances.remove(lock, context());
      await lock[Symbol.asyncDispose]();
      await heard(id, "removed");
    }),
  );

  feature(kit, "events", "tell of the states that an instance goes through", (fixture) =>
    whileWatching(fixture, async (heard) => {
      const { instances } = fixture.engine;
      const instance = await instances.create(newSpec(fixture), context());
      const { id } = instance;
      const lock = await locked(fixture, instance);
      await instances.start(lock, context());
      await heard(id, "running");
      if (instances.suspend !== undefined) {
        await instances.suspend(lock, context());
        await heard(id, "suspended");
        await instances.start(lock, context());
        await heard(id, "running");
      }
      await instances.stop(lock, "force", context());
      await heard(id, "stopped");
      await instances.remove(lock, context());
      await lock[Symbol.asyncDispose]();
      await heard(id, "removed");
    }),
  );
}

/** Waits for the next event of an instance that is of that kind, or leads to that state. */
type Heard = (id: string, what: string) => Promise<void>;

/** Runs a callback with what it needs to wait for events; they must end with the signal. */
async function whileWatching(fixture: Fixture, work: (heard: Heard) => Promise<void>): Promise<void> {
  const abort = new AbortController();
  const events = fixture.engine.events?.(abort.signal)[Symbol.asyncIterator]();
  if (events === undefined) {
    throw new Error("the engine tells of no events");
  }
  const next = async (): Promise<EngineEvent> => {
    const { value, done } = await within(EVENT_TIMEOUT_MS, "the next event", events.next());
    if (done === true) {
      throw new Error("the events have ended");
    }
    return value;
  };
  same((await next()).kind, "resync", "the first event");
  await work(async (id, what) => {
    for (;;) {
      const event = await next();
      if (event.kind === "resync" || event.id !== id) {
        continue;
      }
      if (event.kind === what || (event.kind === "state" && event.state === what)) {
        return;
      }
    }
  });
  const last = events.next();
  abort.abort();
  while (
    !(await within(EVENT_TIMEOUT_MS, "the next event", last)).done &&
    !(await within(EVENT_TIMEOUT_MS, "the next event", events.next())).done
  ) {}
}
