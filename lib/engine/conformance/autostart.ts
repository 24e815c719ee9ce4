import { same } from "./assert.ts";
import { context, type Fixture, lockOf, withInstance } from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";

/** Instances that start with their host. */
export function autostartTests(kit: Kit): void {
  feature(
    kit,
    "autostart",
    "start with the host once they are told to, and until they are told not to",
    (fixture) =>
      withInstance(fixture, async ({ id }) => {
        const { get, set } = groupOf(fixture);
        same(await get(id), false, "at first");
        for (const on of [true, true, false, false]) {
          await set(lockOf(id), on);
          same(await get(id), on);
        }
      }),
  );

  feature(kit, "autostart", "keep that over starts, stops and changes", (fixture) =>
    withInstance(fixture, async ({ id }) => {
      const { instances } = fixture.engine;
      const { get, set } = groupOf(fixture);
      await set(lockOf(id), true);
      await instances.resize(lockOf(id), { cpus: 2 }, context());
      await instances.start(lockOf(id), context());
      same(await get(id), true, "while it runs");
      await set(lockOf(id), false);
      await instances.stop(lockOf(id), "force", context());
      same(await get(id), false, "as it was set while it ran");
    }),
  );
}

function groupOf({ engine }: Fixture) {
  if (engine.autostart === undefined) {
    throw new Error("the engine declares autostart and does not have it");
  }
  return engine.autostart;
}
