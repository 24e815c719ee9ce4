import { rejects, same } from "./assert.ts";
import { context, current, locked, lockOf, newSpec, take, withInstance } from "./fixture.ts";
import type { Kit } from "./kit.ts";
import { NotDeclared } from "./tally.ts";

/** Creating, starting, stopping and removing. */
export function lifecycleTests(kit: Kit): void {
  kit.it("come into being stopped, with what was asked for and the record unchanged", async () => {
    const spec = newSpec(kit.fixture());
    await withInstance(
      kit.fixture(),
      async (instance) => {
        const { name, state, resources, record, snapshotCount, addresses } = await current(
          kit.fixture(),
          instance,
        );
        same(
          { name, resources, record },
          { name: spec.name, resources: spec.resources, record: spec.record },
        );
        same({ state, snapshotCount, addresses }, { state: "stopped", snapshotCount: 0, addresses: [] });
        same((await kit.fixture().engine.instances.list()).filter(({ id }) => id === instance.id).length, 1);
      },
      spec,
    );
  });

  kit.it("are told in outline as the list tells them", async () => {
    const { instances } = kit.fixture().engine;
    if (instances.outline === undefined) {
      throw new NotDeclared("instances.outline");
    }
    await withInstance(kit.fixture(), async (instance) => {
      await instances.annotate(lockOf(instance.id), { deleted: true, hostKey: "ssh-ed25519 AAAA+/=" });
      const { id, name, state, record, addresses } = await current(kit.fixture(), instance);
      const outline = (await instances.outline?.())?.find((each) => each.id === id);
      same(outline, { id, name, state, record, addresses });
    });
  });

  kit.it("keep their names to themselves", async () => {
    await withInstance(kit.fixture(), async ({ name }) => {
      await rejects(
        kit.fixture().engine.instances.create(newSpec(kit.fixture(), { name }), context()),
        "INSTANCE_EXISTS",
      );
      const { instances } = kit.fixture().engine;
      if (instances.check !== undefined) {
        await rejects(instances.check(newSpec(kit.fixture(), { name })), "INSTANCE_EXISTS");
      }
      same((await kit.fixture().engine.instances.list()).filter((each) => each.name === name).length, 1);
    });
  });

  kit.it("are gone after removal, and a second look says so", async () => {
    const { instances } = kit.fixture().engine;
    const instance = await instances.create(newSpec(kit.fixture()), context());
    const lock = await locked(kit.fixture(), instance);
    await instances.remove(lock, context());
    await lock[Symbol.asyncDispose]();
    same(await instances.find(instance.name), null);
    await rejects(instances.lock(instance, { wait: 0 }, context()), "INSTANCE_NOT_FOUND");
  });

  kit.it("keep what is annotated", async () => {
    await withInstance(kit.fixture(), async (instance) => {
      await kit
        .fixture()
        .engine.instances.annotate(lockOf(instance.id), { deleted: true, hostKey: "ssh-ed25519 AAAA+/=" });
      same((await current(kit.fixture(), instance)).record, {
        ...instance.record,
        deleted: true,
        hostKey: "ssh-ed25519 AAAA+/=",
      });
    });
  });

  kit.it("stay stopped when they are stopped again", async () => {
    await withInstance(kit.fixture(), async (instance) => {
      await kit.fixture().engine.instances.stop(lockOf(instance.id), { grace: 1000 }, context());
      await kit.fixture().engine.instances.stop(lockOf(instance.id), "force", context());
      same((await current(kit.fixture(), instance)).state, "stopped");
    });
  });

  kit.it("start and stop by force, and a second time is success", async () => {
    const { instances } = kit.fixture().engine;
    await withInstance(kit.fixture(), async (instance) => {
      await instances.start(lockOf(instance.id), context());
      await instances.start(lockOf(instance.id), context());
      same((await current(kit.fixture(), instance)).state, "running");
      await instances.stop(lockOf(instance.id), "force", context());
      await instances.stop(lockOf(instance.id), "force", context());
      same((await current(kit.fixture(), instance)).state, "stopped");
    });
  });

  kit.it("are not resized, snapshotted as stopped ones or restored while they run", async () => {
    const fixture = kit.fixture();
    const { instances, snapshots } = fixture.engine;
    await withInstance(fixture, async (instance) => {
      const { id } = instance;
      await take(fixture, instance, "stopped");
      await instances.start(lockOf(id), context());
      await rejects(instances.resize(lockOf(id), { cpus: 2 }, context()), "WRONG_STATE");
      await rejects(take(fixture, instance, "running"), "WRONG_STATE");
      await rejects(snapshots.restore(lockOf(id), "stopped", context()), "WRONG_STATE");
      const { state, resources, snapshotCount } = await current(fixture, instance);
      same(
        { state, resources, snapshotCount },
        { state: "running", resources: instance.resources, snapshotCount: 1 },
      );
    });
  });

  kit.it("are removed while they run", async () => {
    const fixture = kit.fixture();
    const { instances } = fixture.engine;
    const instance = await instances.create(newSpec(fixture), context());
    await using _lock = await locked(fixture, instance);
    await instances.start(lockOf(instance.id), context());
    await instances.remove(lockOf(instance.id), context());
    same(await instances.find(instance.name), null);
  });
}
