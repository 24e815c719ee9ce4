import { pathToFileURL } from "node:url";
import type { Engine } from "../contract.ts";
import { rejects, same } from "./assert.ts";
import { startChild } from "./child-process.ts";
import { context, type Fixture, locked, lockOf, newSpec, take, withInstance } from "./fixture.ts";
import type { Kit } from "./kit.ts";
import { NotTried } from "./tally.ts";

/** Creations of one name at once. */
const AT_ONCE = 4;
const ROUNDS = 3;

/** How long a lock may take to be free once its holder was killed, ms. */
const DEATH_TIMEOUT_MS = 60_000;

/** What several commands see of each other: engines on one state, here and in a process that is killed. */
export function processTests(kit: Kit): void {
  kit.it("see the same instances and snapshots", async (fixture) => {
    const other = await kit.open();
    await withInstance(fixture, async (instance) => {
      await take(fixture, instance, "one", { comment: "as it is" });
      const { instances, snapshots } = fixture.engine;
      same(await other.instances.find(instance.name), await instances.find(instance.name));
      same(await other.snapshots.tree(instance.id), await snapshots.tree(instance.id));
    });
  });

  kit.it("keep each other out while one has the lock", async (fixture) => {
    const other = await kit.open();
    await withInstance(fixture, async (instance) => {
      await rejects(other.instances.lock(instance, { wait: 0 }, context()), "BUSY");
      const waiting = other.instances.lock(instance, { wait: 60_000 }, context());
      // What changes while it waits is in the instance that it gets.
      await fixture.engine.instances.annotate(lockOf(instance.id), { restoredAt: 7 });
      await lockOf(instance.id)[Symbol.asyncDispose]();
      {
        await using lock = await waiting;
        same(lock.instance.record.restoredAt, 7);
        await rejects(fixture.engine.instances.lock(instance, { wait: 0 }, context()), "BUSY");
        await other.instances.annotate(lock, { hostKey: "ssh-ed25519 AAAA" });
      }
      const again = await locked(fixture, instance, 10_000);
      same(again.instance.record.hostKey, "ssh-ed25519 AAAA");
    });
  });

  kit.it("make one instance of a name that is created several times at once", (fixture) =>
    createAtOnce(fixture, [fixture.engine]),
  );

  kit.it("make one instance of a name that several engines create at once", async (fixture) =>
    createAtOnce(fixture, [fixture.engine, await kit.open()]),
  );

  kit.it("keep others out from another process, until that is killed", async (fixture) => {
    if (fixture.options === undefined) {
      throw new NotTried("the fixture opens no engine in another process");
    }
    const module = pathToFileURL(kit.plugin().module).href;
    const options = JSON.stringify(fixture.options);
    await withInstance(fixture, async (instance) => {
      await lockOf(instance.id)[Symbol.asyncDispose]();
      const holder = startChild(module, "lock", options, instance.name);
      try {
        await holder.ready;
        await rejects(fixture.engine.instances.lock(instance, { wait: 0 }, context()), "BUSY");
        await rejects(fixture.engine.instances.lock(instance, { wait: 200 }, context()), "BUSY");
      } finally {
        await holder.kill();
        const lock = await locked(fixture, instance, DEATH_TIMEOUT_MS);
        same(lock.instance.id, instance.id);
      }
    });
  });
}

async function createAtOnce(fixture: Fixture, engines: readonly Engine[]): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const spec = newSpec(fixture);
    const calls = Array.from({ length: AT_ONCE }, (_, at) => engines[at % engines.length] as Engine).map(
      ({ instances }) => instances.create(spec, context()),
    );
    const made = (await Promise.allSettled(calls)).filter(({ status }) => status === "fulfilled");
    const found = (await fixture.engine.instances.list()).filter(({ name }) => name === spec.name);
    for (const instance of found) {
      await using lock = await fixture.engine.instances.lock(instance, { wait: 10_000 }, context());
      await fixture.engine.instances.remove(lock, context());
    }
    same({ made: made.length, found: found.length }, { made: 1, found: 1 });
    for (const call of calls) {
      await call.catch(() => rejects(call, "INSTANCE_EXISTS"));
    }
  }
}
