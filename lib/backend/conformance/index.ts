import { after, before, describe, it } from "mocha";
import { planRemoval } from "../../snapshots/plan.ts";
import { rejects, same } from "./assert.ts";
import { context, current, type Fixture, MIB, newSpec, take, withInstance } from "./fixture.ts";
import { randomTrees } from "./random-tree.ts";

export type { Fixture } from "./fixture.ts";
export { randomTrees } from "./random-tree.ts";

export interface ConformanceOptions {
  /** Random sequences to run, and steps in each. */
  readonly runs: number;
  readonly steps: number;
}

/**
 * The mocha suite that every engine must pass. Nothing is booted: `Fixture` gives access to the disks.
 * A feature that is declared must work; groups that are optional are there exactly when declared.
 */
export function conformance(
  name: string,
  factory: () => Promise<Fixture>,
  options: ConformanceOptions = { runs: 25, steps: 30 },
): void {
  describe(`engine ${name}`, () => {
    let fixture: Fixture;
    before(async () => {
      fixture = await factory();
    });
    after(() => fixture[Symbol.asyncDispose]());

    describe("itself", () => {
      it("tells what it is and has the groups it declares", async () => {
        const info = await fixture.backend.info();
        same(info.kind === "vm" || info.kind === "container" || info.kind === "fake", true);
        same(info.features.has("network.list"), fixture.backend.networks !== undefined, "networks");
        same(info.features.has("events"), fixture.backend.events !== undefined, "events");
        same(info.features.has("suspend"), fixture.backend.instances.suspend !== undefined, "suspend");
      });
    });
    describe("instances", () => instanceTests(() => fixture));
    describe("holds", () => holdTests(() => fixture));
    describe("snapshots", () => snapshotTests(() => fixture));
    describe("snapshot trees", () => {
      it(`hold what a plain model holds, over ${options.runs} sequences of ${options.steps} steps`, () =>
        randomTrees(fixture, options));
    });
  });
}

function instanceTests(get: () => Fixture): void {
  it("come into being stopped, with what was asked for and the record unchanged", async () => {
    const spec = newSpec(get());
    await withInstance(
      get(),
      async (instance) => {
        const { name, state, resources, record, snapshotCount, addresses } = await current(get(), instance);
        same(
          { name, resources, record },
          { name: spec.name, resources: spec.resources, record: spec.record },
        );
        same({ state, snapshotCount, addresses }, { state: "stopped", snapshotCount: 0, addresses: [] });
        same((await get().backend.instances.list()).filter(({ id }) => id === instance.id).length, 1);
      },
      spec,
    );
  });

  it("keep their names to themselves", async () => {
    await withInstance(get(), async ({ name }) => {
      await rejects(get().backend.instances.create(newSpec(get(), { name }), context()), "INSTANCE_EXISTS");
      same((await get().backend.instances.list()).filter((each) => each.name === name).length, 1);
    });
  });

  it("are gone after removal, and a second look says so", async () => {
    const { instances } = get().backend;
    const instance = await instances.create(newSpec(get()), context());
    const hold = await instances.hold(instance.id, { wait: 0 }, context());
    await instances.remove(instance.id, context());
    await hold[Symbol.asyncDispose]();
    same(await instances.find(instance.name), null);
    await rejects(instances.hold(instance.id, { wait: 0 }, context()), "INSTANCE_NOT_FOUND");
  });

  it("keep what is annotated", async () => {
    await withInstance(get(), async (instance) => {
      await get().backend.instances.annotate(instance.id, { deleted: true, hostKey: "ssh-ed25519 AAAA+/=" });
      same((await current(get(), instance)).record, {
        ...instance.record,
        deleted: true,
        hostKey: "ssh-ed25519 AAAA+/=",
      });
    });
  });

  it("change CPUs, memory and disk, and refuse to shrink the disk with nothing changed", async () => {
    await withInstance(get(), async (instance) => {
      const { instances } = get().backend;
      const grown = { cpus: 3, memory: 512n * MIB, disk: instance.resources.disk + 8n * MIB };
      await instances.resize(instance.id, grown, context());
      same((await current(get(), instance)).resources, grown);
      await rejects(instances.resize(instance.id, { cpus: 2, disk: 1n * MIB }, context()), "DISK_SHRINK");
      same((await current(get(), instance)).resources, grown);
    });
  });

  it("stay stopped when they are stopped again", async () => {
    await withInstance(get(), async (instance) => {
      await get().backend.instances.stop(instance.id, { grace: 1000 }, context());
      await get().backend.instances.stop(instance.id, "force", context());
      same((await current(get(), instance)).state, "stopped");
    });
  });
}

function holdTests(get: () => Fixture): void {
  it("keep others out until they are released", async () => {
    const { instances } = get().backend;
    const { id } = await instances.create(newSpec(get()), context());
    const first = await instances.hold(id, { wait: 0 }, context());
    await rejects(instances.hold(id, { wait: 0 }, context()), "BUSY");
    await rejects(instances.hold(id, { wait: 50 }, context()), "BUSY");
    const waiting = instances.hold(id, { wait: 10_000 }, context());
    await first[Symbol.asyncDispose]();
    await using _second = await waiting;
    await instances.remove(id, context());
  });

  it("stop waiting when the call is cancelled", async () => {
    const { instances } = get().backend;
    await withInstance(get(), async ({ id }) => {
      const abort = new AbortController();
      const waiting = instances.hold(id, { wait: 60_000 }, { ...context(), signal: abort.signal });
      abort.abort();
      await rejects(waiting, "CANCELLED");
    });
  });
}

function snapshotTests(get: () => Fixture): void {
  it("bring back disk, CPUs, memory and disk size", async () => {
    await withInstance(get(), async (instance) => {
      const { instances, snapshots } = get().backend;
      await get().write(instance, 1);
      const before = { contents: await get().read(instance), resources: instance.resources };
      await take(get(), instance, "one", "the first\nwith <xml> & ünïcödé 🎉");
      await get().write(instance, 2);
      const change = { cpus: 2, memory: 384n * MIB, disk: instance.resources.disk + 8n * MIB };
      await instances.resize(instance.id, change, context());
      await snapshots.revert(instance.id, "one", context());
      same(await get().read(instance), before.contents);
      same((await current(get(), instance)).resources, before.resources);
    });
  });

  it("keep comments of any characters and their time to the millisecond", async () => {
    const comment = 'line 1\r\nline 2\ttab \u0007 \u0000 ]]> <a b="c"> &amp; \ud800 \ufffe 🎉 ';
    await withInstance(get(), async (instance) => {
      const begin = Date.now();
      await take(get(), instance, "odd", comment);
      const [snapshot] = (await get().backend.snapshots.tree(instance.id)).snapshots;
      same(snapshot?.comment, comment);
      same((snapshot?.createdAt ?? 0) >= begin && (snapshot?.createdAt ?? 0) <= Date.now(), true, "the time");
    });
  });

  it("branch where the instance stands, and the counter survives a restore", async () => {
    await withInstance(get(), async (instance) => {
      const { snapshots } = get().backend;
      await take(get(), instance, "a");
      await take(get(), instance, "b");
      await snapshots.revert(instance.id, "a", context());
      await take(get(), instance, "c");
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
      same((await current(get(), instance)).record.snapshotsTaken, 3);
    });
  });

  it("are deleted from the middle of a branched tree without touching what the others hold", async () => {
    await withInstance(get(), async (instance) => {
      const { snapshots } = get().backend;
      const contents = new Map<string, string>();
      const write = async (value: number, name: string) => {
        await get().write(instance, value);
        await take(get(), instance, name);
        contents.set(name, await get().read(instance));
      };
      // A child without data of its own is what shows whether a layer was really merged.
      await write(1, "root");
      await write(2, "middle");
      await take(get(), instance, "empty");
      contents.set("empty", await get().read(instance));
      await snapshots.revert(instance.id, "root", context());
      await write(3, "branch");
      for (const name of ["middle", "root"]) {
        const removal = planRemoval(await snapshots.tree(instance.id), name);
        if (removal === undefined) throw new Error(`${name} is not there`);
        await snapshots.drop(instance.id, removal, context());
        await get().audit?.(instance);
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
        await snapshots.revert(instance.id, name, context());
        same(await get().read(instance), contents.get(name), name);
      }
    });
  });

  it("refuse a name that is taken, and an unknown one, with nothing changed", async () => {
    await withInstance(get(), async (instance) => {
      const { snapshots } = get().backend;
      await take(get(), instance, "a");
      await take(get(), instance, "b");
      const before = await snapshots.tree(instance.id);
      await rejects(snapshots.amend(instance.id, "a", { name: "b" }, context()), "SNAPSHOT_EXISTS");
      await rejects(snapshots.amend(instance.id, "x", { name: "y" }, context()), "SNAPSHOT_NOT_FOUND");
      await rejects(snapshots.revert(instance.id, "x", context()), "SNAPSHOT_NOT_FOUND");
      same(await snapshots.tree(instance.id), before);
    });
  });

  it("are renamed with their children following, and commented anew", async () => {
    await withInstance(get(), async (instance) => {
      const { snapshots } = get().backend;
      await take(get(), instance, "a", "old");
      await take(get(), instance, "b");
      await snapshots.amend(instance.id, "a", { name: "z", comment: "new" }, context());
      await snapshots.amend(instance.id, "b", { name: "y" }, context());
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
