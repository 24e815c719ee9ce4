import { rejects, same } from "./assert.ts";
import { context, current, lockOf, MIB, withInstance } from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";

/** CPUs, memory and the size of the disk. */
export function resourceTests(kit: Kit): void {
  kit.it("change as far as they are named, and the disk never shrinks", async () => {
    const { instances } = kit.fixture().engine;
    await withInstance(kit.fixture(), async (instance) => {
      const { id, resources } = instance;
      await instances.resize(lockOf(id), { cpus: 3, memory: 512n * MIB }, context());
      const changed = { ...resources, cpus: 3, memory: 512n * MIB };
      same((await current(kit.fixture(), instance)).resources, changed);
      await instances.resize(lockOf(id), { cpus: 2 }, context());
      await rejects(instances.resize(lockOf(id), { cpus: 1, disk: 1n * MIB }, context()), "DISK_SHRINK");
      same((await current(kit.fixture(), instance)).resources, { ...changed, cpus: 2 });
    });
  });

  feature(kit, "disk.grow", "let the disk grow", async (fixture) => {
    const { instances } = fixture.engine;
    await withInstance(fixture, async (instance) => {
      const grown = { cpus: 3, memory: 512n * MIB, disk: instance.resources.disk + 8n * MIB };
      await instances.resize(lockOf(instance.id), grown, context());
      same((await current(fixture, instance)).resources, grown);
      await rejects(
        instances.resize(lockOf(instance.id), { cpus: 2, disk: grown.disk - 1n * MIB }, context()),
        "DISK_SHRINK",
      );
      same((await current(fixture, instance)).resources, grown);
    });
  });
}
