import { planRemoval } from "../../core/snapshots/plan.ts";
import { rejects, same } from "./assert.ts";
import { context, current, lockOf, MIB, take, withInstance } from "./fixture.ts";
import type { Kit } from "./kit.ts";

/** Taking, restoring, deleting, renaming. */
export function snapshotTests(kit: Kit): void {
  kit.it("bring back disk, CPUs, memory and disk size", async () => {
    await withInstance(kit.fixture(), async (instance) => {
      const { instances, snapshots } = kit.fixture().engine;
      await kit.fixture().write(instance, 1);
      const before = { contents: await kit.fixture().read(instance), resources: instance.resources };
      await take(kit.fixture(), instance, "one", { comment: "the first\nwith <xml> & ünïcödé 🎉" });
      await kit.fixture().write(instance, 2);
      const { disk } = instance.resources;
      const grows = kit.info().features.has("disk.grow");
      const change = { cpus: 2, memory: 384n * MIB, disk: grows ? disk + 8n * MIB : disk };
      await instances.resize(lockOf(instance.id), change, context());
      await snapshots.restore(lockOf(instance.id), "one", context());
      same(await kit.fixture().read(instance), before.contents);
      same((await current(kit.fixture(), instance)).resources, before.resources);
    });
  });

  kit.it("keep comments of any characters and their time to the millisecond", async () => {
    const comment = 'line 1\r\nline 2\ttab \u0007 \u0000 ]]> <a b="c"> &amp; \ud800 \ufffe 🎉 ';
    await withInstance(kit.fixture(), async (instance) => {
      const begin = Date.now();
      await take(kit.fixture(), instance, "odd", { comment });
      const [snapshot] = (await kit.fixture().engine.snapshots.tree(instance.id)).snapshots;
      same(snapshot?.comment, comment);
      same((snapshot?.createdAt ?? 0) >= begin && (snapshot?.createdAt ?? 0) <= Date.now(), true, "the time");
    });
  });

  kit.it("branch where the instance stands, and the counter survives a restore", async () => {
    await withInstance(kit.fixture(), async (instance) => {
      const { snapshots } = kit.fixture().engine;
      await take(kit.fixture(), instance, "a");
      await take(kit.fixture(), instance, "b");
      await snapshots.restore(lockOf(instance.id), "a", context());
      await take(kit.fixture(), instance, "c");
      const tree = await snapshots.tree(instance.id);
      same(
        tree.snapshots.map(({ name, parent }) => [name, parent]),
        [
          ["a", null],
          ["b", "a"],
          ["c", "a"],
        ],
      );
      same(tree.standsOn, "c");
      for (const each of tree.snapshots) {
        same((await snapshots.find?.(instance.id, each.name)) ?? each, each);
      }
      same((await snapshots.find?.(instance.id, "none")) ?? null, null);
      same((await current(kit.fixture(), instance)).record.snapshotsTaken, 3);
    });
  });

  kit.it("are deleted from the middle of a branched tree without touching what the others hold", async () => {
    await withInstance(kit.fixture(), async (instance) => {
      const { snapshots } = kit.fixture().engine;
      const contents = new Map<string, string>();
      const write = async (value: number, name: string) => {
        await kit.fixture().write(instance, value);
        await take(kit.fixture(), instance, name);
        contents.set(name, await kit.fixture().read(instance));
      };
      // A child without data of its own is what shows whether a layer was really merged.
      await write(1, "root");
      await write(2, "middle");
      await take(kit.fixture(), instance, "empty");
      contents.set("empty", await kit.fixture().read(instance));
      await snapshots.restore(lockOf(instance.id), "root", context());
      await write(3, "branch");
      same((await snapshots.removal?.(instance.id, "none")) ?? null, null);
      for (const name of ["middle", "root"]) {
        const removal = planRemoval(await snapshots.tree(instance.id), name);
        if (removal === undefined) {
          throw new Error(`${name} is not there`);
        }
        await snapshots.delete(lockOf(instance.id), removal, context());
        await kit.fixture().audit?.(instance);
      }
      const tree = await snapshots.tree(instance.id);
      same(
        tree.snapshots.map(({ name, parent }) => [name, parent]),
        [
          ["empty", null],
          ["branch", null],
        ],
      );
      for (const name of ["empty", "branch"]) {
        await snapshots.restore(lockOf(instance.id), name, context());
        same(await kit.fixture().read(instance), contents.get(name), name);
      }
    });
  });

  kit.it(
    "are deleted once: that of a snapshot which has gone is success, and changes nothing",
    async (fixture) => {
      await withInstance(fixture, async (instance) => {
        const { snapshots } = fixture.engine;
        await take(fixture, instance, "a");
        await take(fixture, instance, "b");
        const removal = { name: "a", parent: null, children: ["b"] };
        await snapshots.delete(lockOf(instance.id), removal, context());
        const before = await snapshots.tree(instance.id);
        await snapshots.delete(lockOf(instance.id), removal, context());
        await snapshots.delete(lockOf(instance.id), { ...removal, name: "never", children: [] }, context());
        same(await snapshots.tree(instance.id), before);
      });
    },
  );

  kit.it("are deleted while the instance runs, which goes on running", async (fixture) => {
    await withInstance(fixture, async (instance) => {
      const { instances, snapshots } = fixture.engine;
      await fixture.write(instance, 1);
      await take(fixture, instance, "a");
      await fixture.write(instance, 2);
      await take(fixture, instance, "b");
      const contents = await fixture.read(instance);
      await instances.start(lockOf(instance.id), context());
      await snapshots.delete(lockOf(instance.id), { name: "a", parent: null, children: ["b"] }, context());
      const tree = await snapshots.tree(instance.id);
      same(
        tree.snapshots.map(({ name, parent }) => [name, parent]),
        [["b", null]],
      );
      same((await current(fixture, instance)).state, "running");
      await instances.stop(lockOf(instance.id), "force", context());
      await snapshots.restore(lockOf(instance.id), "b", context());
      same(await fixture.read(instance), contents);
    });
  });

  kit.it("refuse a name that is taken, and an unknown one, with nothing changed", async () => {
    await withInstance(kit.fixture(), async (instance) => {
      const { snapshots } = kit.fixture().engine;
      await take(kit.fixture(), instance, "a");
      await take(kit.fixture(), instance, "b");
      const before = await snapshots.tree(instance.id);
      await rejects(take(kit.fixture(), instance, "a"), "SNAPSHOT_EXISTS");
      await rejects(snapshots.rename(lockOf(instance.id), "a", "b", context()), "SNAPSHOT_EXISTS");
      await rejects(snapshots.rename(lockOf(instance.id), "x", "y", context()), "SNAPSHOT_NOT_FOUND");
      await rejects(snapshots.describe(lockOf(instance.id), "x", "y", context()), "SNAPSHOT_NOT_FOUND");
      await rejects(snapshots.restore(lockOf(instance.id), "x", context()), "SNAPSHOT_NOT_FOUND");
      same(await snapshots.tree(instance.id), before);
    });
  });

  kit.it("are renamed with their children following, and commented anew", async () => {
    await withInstance(kit.fixture(), async (instance) => {
      const { snapshots } = kit.fixture().engine;
      await take(kit.fixture(), instance, "a", { comment: "old" });
      await take(kit.fixture(), instance, "b");
      await snapshots.rename(lockOf(instance.id), "a", "z", context());
      await snapshots.describe(lockOf(instance.id), "z", "new", context());
      await snapshots.rename(lockOf(instance.id), "b", "y", context());
      const tree = await snapshots.tree(instance.id);
      same(
        tree.snapshots.map(({ name, parent, comment }) => [name, parent, comment]),
        [
          ["z", null, "new"],
          ["y", "z", ""],
        ],
      );
      same(tree.standsOn, "y");
    });
  });
}
