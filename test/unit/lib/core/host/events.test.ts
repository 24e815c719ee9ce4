import { expect } from "chai";
import { formatEvent } from "../../../../../lib/cli/format/event.ts";
import type { Strata, StrataEvent } from "../../../../../lib/core/api/strata.ts";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import { context } from "../../../../../lib/engine/conformance/fixture.ts";
import type { Engine, Instance } from "../../../../../lib/engine/contract.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";

/** Waits for the next line, without its time, that is about the instance. */
type Heard = () => Promise<string>;

/** Runs a callback with a launched instance "web" and what is told of it from then on. */
async function whileWatching(
  work: (strata: Strata, heard: Heard) => Promise<void>,
  engine: Engine = memoryEngine(),
): Promise<void> {
  const strata = await openStrata({ driver: "memory", engine });
  const abort = new AbortController();
  const events = strata.events(abort)[Symbol.asyncIterator]();
  const heard = async () => {
    const { value, done } = await events.next();
    if (done === true) {
      throw new Error("the events have ended");
    }
    return formatEvent(value, false).trimEnd().replace(/^\S+ /, "");
  };
  expect(await heard()).to.equal("resync");
  await strata.instances.launch({ image: "any", name: "web" });
  expect([await heard(), await heard()]).to.deep.equal(["create web", "state web Running"]);
  await work(strata, heard);
  abort.abort();
  expect((await events.next()).done).to.equal(true);
}

describe("events", () => {
  it("tell each thing once that happens to instances and snapshots, by its command's name", () =>
    whileWatching(async (strata, heard) => {
      const clean = { instance: "web", snapshot: "clean" };
      const steps: readonly [() => Promise<unknown>, ...string[]][] = [
        [() => strata.instances.stop(["web"]), "state web Stopped"],
        [() => strata.snapshots.take("web", { name: "clean" }), "snapshot web.clean"],
        [
          () => strata.settings.set("local.web.cpus", "2"),
          "resize web 2 CPUs, 1.0GiB of memory, 5.0GiB of disk",
        ],
        [() => strata.snapshots.take("web", { name: "more" }), "snapshot web.more"],
        [
          () => strata.snapshots.restore(clean),
          "restore web.clean",
          "resize web 1 CPUs, 1.0GiB of memory, 5.0GiB of disk",
        ],
        [() => strata.snapshots.restore(clean), "restore web.clean"],
        [() => strata.settings.set("local.web.more.name", "most"), "snapshot-rename web.more web.most"],
        [
          () => strata.delete([{ instance: "web", snapshot: "most" }], { purge: true }),
          "snapshot-delete web.most",
        ],
        [() => strata.instances.rename("web", "www"), "rename web www"],
        [() => strata.instances.rename("www", "web"), "rename www web"],
        [() => strata.delete([{ instance: "web" }]), "delete web", "state web Deleted"],
        [() => strata.instances.recover(["web"]), "recover web", "state web Stopped"],
        [() => strata.delete([{ instance: "web" }], { purge: true }), "purge web"],
      ];
      for (const [step, ...expected] of steps) {
        await step();
        for (const line of expected) {
          expect(await heard()).to.equal(line);
        }
      }
    }));

  it("tell of further disks what their commands do, and what a restore makes of them", () =>
    whileWatching(async (strata, heard) => {
      await strata.instances.stop(["web"]);
      expect(await heard()).to.equal("state web Stopped");
      const GIB = 1024n ** 3n;
      const steps: readonly [() => Promise<unknown>, ...string[]][] = [
        [() => strata.disks.add("web", GIB), "disk-add web vdb 1.0GiB"],
        [() => strata.snapshots.take("web", { name: "one" }), "snapshot web.one"],
        [() => strata.disks.grow("web", "vdb", 2n * GIB), "disk-resize web vdb 2.0GiB"],
        [() => strata.disks.add("web", GIB), "disk-add web vdc 1.0GiB"],
        [() => strata.disks.exclude("web", "vdc"), "disk-exclude web vdc"],
        [() => strata.disks.include("web", "vdc"), "disk-include web vdc"],
        [
          () => strata.snapshots.restore({ instance: "web", snapshot: "one" }),
          "restore web.one",
          "disk-remove web vdc",
          "disk-resize web vdb 1.0GiB",
        ],
        [() => strata.disks.add("web", GIB), "disk-add web vdc 1.0GiB"],
        [() => strata.disks.remove("web", "vdc"), "disk-remove web vdc"],
      ];
      for (const [step, ...expected] of steps) {
        await step();
        for (const line of expected) {
          expect(await heard()).to.equal(line);
        }
      }
    }));

  it("tell neither of a disk whose size cannot be told for a while nor of a mark that a removal makes on its way", async () => {
    const engine = memoryEngine();
    // As an engine shows an instance whose disk is not there yet or not any more.
    let view = (instance: Instance): Instance => instance;
    const without = (instance: Instance) => ({
      ...instance,
      resources: { ...instance.resources, disk: 0n },
    });
    const { find, list } = engine.instances;
    const instances = {
      ...engine.instances,
      find: async (name: string) => {
        const found = await find(name);
        return found === null ? null : view(found);
      },
      list: async () => (await list()).map((each) => view(each)),
    };
    await whileWatching(
      async (strata, heard) => {
        view = without;
        await strata.instances.stop(["web"]);
        expect(await heard()).to.equal("state web Stopped");
        view = (instance) => instance;
        await strata.snapshots.take("web", { name: "clean" });
        expect(await heard()).to.equal("snapshot web.clean");
        const next = heard();
        const seen = new Promise<void>((resolve) => {
          view = (instance) => {
            resolve();
            const record = { ...instance.record, deleted: true };
            return { ...without(instance), record, removing: true };
          };
        });
        const lock = await instances.lock({ name: "web" }, { wait: 0 }, context());
        await engine.snapshots.describe(lock, "clean", "seen while it goes", context());
        await lock[Symbol.asyncDispose]();
        await seen;
        view = without;
        await strata.delete([{ instance: "web" }], { purge: true });
        expect(await next).to.equal("purge web");
      },
      { ...engine, instances },
    );
  });

  it("tell of every state that is gone through", () =>
    whileWatching(async (strata, heard) => {
      await strata.instances.suspend(["web"]);
      await strata.instances.start(["web"]);
      for (const state of ["Suspended", "Running"]) {
        expect(await heard()).to.equal(`state web ${state}`);
      }
      await strata.instances.stop(["web"], { after: 60_000 });
      expect(await heard()).to.equal("state web Delayed Shutdown");
      await strata.instances.stop(["web"], { cancel: true });
      expect(await heard()).to.equal("state web Running");
      await strata.instances.stop(["web"]);
      expect(await heard()).to.equal("state web Stopped");
    }));

  it("are objects of JSON, one a line", () => {
    const event: StrataEvent = { at: 0, kind: "resize", instance: "web", cpus: 2, memory: 1n, disk: 2n };
    const text = formatEvent(event, true);
    expect(text.endsWith("}\n")).to.equal(true);
    expect(JSON.parse(text)).to.deep.equal({
      time: "1970-01-01T00:00:00.000Z",
      event: "resize",
      instance: "web",
      cpus: 2,
      memory: "1",
      disk: "2",
    });
  });
});
