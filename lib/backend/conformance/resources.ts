import { it } from "mocha";
import { rejects, same } from "./assert.ts";
import { context, current, MIB, withInstance } from "./fixture.ts";
import type { Kit } from "./kit.ts";

/** CPUs, memory and the size of the disk. */
export function resourceTests(kit: Kit): void {
  it("change CPUs, memory and disk, and refuse to shrink the disk with nothing changed", async () => {
    await withInstance(kit.fixture(), async (instance) => {
      const { instances } = kit.fixture().backend;
      const grown = { cpus: 3, memory: 512n * MIB, disk: instance.resources.disk + 8n * MIB };
      await instances.resize(instance.id, grown, context());
      same((await current(kit.fixture(), instance)).resources, grown);
      await rejects(instances.resize(instance.id, { cpus: 2, disk: 1n * MIB }, context()), "DISK_SHRINK");
      same((await current(kit.fixture(), instance)).resources, grown);
    });
  });
}
