import { it } from "mocha";
import { same } from "./assert.ts";
import type { Kit } from "./kit.ts";

/** What the engine says of itself, and that its optional groups are there exactly when declared. */
export function featureTests(kit: Kit): void {
  it("tells what it is", async () => {
    const info = await kit.fixture().backend.info();
    same(["vm", "container", "fake"].includes(info.kind), true, `kind ${info.kind}`);
    same(info.imageFormats.length > 0, true, "the formats that it takes for images");
  });

  it("has the groups that it declares, and no others", () => {
    const { backend } = kit.fixture();
    const { features } = kit.info();
    const groups = {
      "mount.native or mount.classic": backend.mounts,
      "network.list": backend.networks,
      "read-image": backend.readImages,
      events: backend.events,
      audit: backend.maintenance,
      suspend: backend.instances.suspend,
      clone: backend.instances.clone,
      adopt: backend.adoption,
      cluster: backend.cluster,
    };
    for (const [names, group] of Object.entries(groups))
      same(
        group !== undefined,
        names.split(" or ").some((name) => features.has(name)),
        names,
      );
  });
}
