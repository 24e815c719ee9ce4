import { it } from "mocha";
import type { Feature } from "../contract.ts";
import { same } from "./assert.ts";
import type { Kit } from "./kit.ts";

/** What the engine says of itself, and that its optional groups are there exactly when declared. */
export function featureTests(kit: Kit): void {
  it("tells what it is", async () => {
    const info = await kit.fixture().engine.info();
    same(["vm", "container", "fake"].includes(info.kind), true, `kind ${info.kind}`);
    same(info.imageFormats.length > 0, true, "the formats that it takes for images");
  });

  it("has the groups that it declares, and no others", () => {
    const { engine } = kit.fixture();
    const { features } = kit.info();
    const groups = {
      "mount.native or mount.classic": engine.mounts,
      "network.list": engine.networks,
      "read-image": engine.readImages,
      events: engine.events,
      audit: engine.maintenance,
      suspend: engine.instances.suspend,
      clone: engine.instances.clone,
      adopt: engine.adoption,
      cluster: engine.cluster,
    };
    for (const [names, group] of Object.entries(groups)) {
      same(
        group !== undefined,
        names.split(" or ").some((name) => features.has(name as Feature)),
        names,
      );
    }
  });
}
