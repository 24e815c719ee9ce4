import { FEATURES, type Feature } from "../contract.ts";
import { GROUPS } from "../shape.ts";
import { same } from "./assert.ts";
import { context, lockOf, take, withInstance } from "./fixture.ts";
import type { Kit } from "./kit.ts";

/** What a feature is of no use without. */
const NEEDS: readonly (readonly [Feature, readonly Feature[]])[] = [
  ["snapshot.quiesce", ["snapshot.running"]],
  ["snapshot.memory", ["suspend"]],
  ["mount.hotplug", ["mount.native", "mount.classic"]],
  ["mount.idmap", ["mount.native", "mount.classic"]],
  ["network.attach", ["network.list"]],
];

/** What the engine says of itself, and that its optional groups are there exactly when declared. */
export function featureTests(kit: Kit): void {
  kit.it("tells what it is", async ({ engine }) => {
    const info = await engine.info();
    same(["vm", "container", "fake"].includes(info.kind), true, `kind ${info.kind}`);
    same(info.imageFormats.length > 0, true, "the formats that it takes for images");
    same(info.engine.length > 0, true, "the engine behind it");
    same(info.name, kit.plugin().plugin.name, "its name must be the plugin's");
  });

  kit.it("declares features that strata knows, and those that they need", async ({ engine }) => {
    const { features, missing } = await engine.info();
    const known: ReadonlySet<string> = new Set(FEATURES);
    const unknown = [...features, ...missing.keys()].filter(
      (name) => !known.has(name) && !name.startsWith("x-"),
    );
    same(unknown, [], `a feature must be one of ${FEATURES.join(", ")}, or begin with "x-"`);
    same(features.has("snapshot.stopped"), true, "every engine has snapshot.stopped");
    for (const [name, needed] of NEEDS) {
      const found = needed.some((each) => features.has(each));
      same(found || !features.has(name), true, `${name} needs ${needed.join(" or ")}`);
    }
  });

  kit.it("has the groups that it declares, and no others", async ({ engine }) => {
    const { features } = kit.info();
    for (const group of GROUPS) {
      same(
        group.of(engine) !== undefined,
        group.features.some((name) => features.has(name)),
        `${group.member} must be there exactly when ${group.features.join(" or ")} is declared`,
      );
    }
  });

  // Every test fails for what is written meanwhile; this one has it in its title.
  kit.it("writes nothing to the terminal", async (fixture) => {
    const { instances } = fixture.engine;
    await withInstance(fixture, async (instance) => {
      await take(fixture, instance, "one");
      await fixture.engine.snapshots.restore(lockOf(instance.id), "one", context());
      await instances.start(lockOf(instance.id), context());
      await instances.list();
      await instances.stop(lockOf(instance.id), "force", context());
    });
  });
}
