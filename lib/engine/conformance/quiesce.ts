import { rejects, same } from "./assert.ts";
import { current, locked, take } from "./fixture.ts";
import { guestOf } from "./guest.ts";
import { feature, type Kit } from "./kit.ts";
import { labelsOf, removeSnapshot, withStarted } from "./running-instance.ts";
import { NotTried } from "./tally.ts";

/** Where any user of a guest can write. */
const FOLDER = "/var/tmp";

/** File systems that the guest's agent freezes. */
export function quiesceTests(kit: Kit): void {
  feature(
    kit,
    "snapshot.quiesce",
    "are refused where they need an agent and none answers",
    async (fixture) => {
      if (fixture.stopAgent === undefined) {
        throw new NotTried("the fixture stops no agent");
      }
      await withStarted(fixture, async (instance) => {
        await fixture.stopAgent?.(instance);
        const before = await fixture.engine.snapshots.tree(instance.id);
        await rejects(take(fixture, instance, "quiet", { consistency: "files" }), "AGENT_MISSING");
        same(await fixture.engine.snapshots.tree(instance.id), before);
        const { state, record } = await current(fixture, instance);
        same({ state, taken: record.snapshotsTaken }, { state: "running", taken: 1 });
        await fixture.audit?.(instance);
        // What was refused stands in the way of nothing else.
        await take(fixture, instance, "loud", { consistency: "crash" });
      });
    },
  );

  feature(kit, "snapshot.quiesce", "freeze the guest for no longer than they take", async (fixture) => {
    if (guestOf(fixture) === undefined) {
      throw new NotTried("the fixture has no guest");
    }
    const { instance, run } = await kit.guest();
    await using _lock = await locked(fixture, instance, 10_000);
    for (const name of ["quiet1", "quiet2"]) {
      await take(fixture, instance, name, { consistency: "files" });
      const written = await run(["tee", `${FOLDER}/${name}`], { input: name });
      same({ code: written.code, error: written.stderr }, { code: 0, error: "" });
      same((await run(["sync"])).code, 0, "the guest writes to its disk again");
    }
    const told = await labelsOf(fixture, instance);
    for (const [name = ""] of told) {
      await removeSnapshot(fixture, instance, name);
    }
    same(told, [
      ["quiet1", "files"],
      ["quiet2", "files"],
    ]);
    same((await current(fixture, instance)).state, "running");
  });
}
