import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { EachOptions, Strata } from "../../../../../lib/core/api/strata.ts";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import type { Engine } from "../../../../../lib/engine/contract.ts";
import { asStrataError, failure } from "../../../../../lib/errors.ts";
import { openCache } from "../../../../../lib/images/cache.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";

/** What each of two has to say that do the same at once, in any order. */
async function twice(work: () => Promise<unknown>): Promise<string[]> {
  const said = (each: Promise<unknown>) =>
    each.then(
      () => "done",
      (error: unknown) => asStrataError(error).code,
    );
  return (await Promise.all([said(work()), said(work())])).sort();
}

describe("of two who do the same at once, the one that comes too late is told", () => {
  let folder: string;
  let strata: Strata;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-once-"));
    const folders = { config: folder, data: folder, cache: folder };
    strata = await openStrata({ driver: "memory", engine: memoryEngine(), folders });
    await strata.instances.launch({
      image: "any",
      name: "web",
      mounts: [{ source: tmpdir(), target: "/data" }],
    });
    await strata.instances.stop(["web"]);
    await strata.snapshots.take("web", { name: "a" });
  });
  afterEach(async () => {
    await strata[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  const web = { instance: "web" };
  const snapshot = { instance: "web", snapshot: "a" };

  it("when a snapshot is deleted", async () => {
    expect(await twice(() => strata.delete([snapshot], { purge: true }))).to.deep.equal([
      "SNAPSHOT_NOT_FOUND",
      "done",
    ]);
  });

  it("unless the caller allows that it is gone", async () => {
    const call: EachOptions = { skipMissing: true };
    expect(await twice(() => strata.delete([snapshot], { purge: true, ...call }))).to.deep.equal([
      "done",
      "done",
    ]);
    expect(await twice(() => strata.delete([web], { purge: true, ...call }))).to.deep.equal(["done", "done"]);
  });

  it("when a snapshot is renamed", async () => {
    expect(await twice(() => strata.settings.set("local.web.a.name", "b"))).to.deep.equal([
      "SNAPSHOT_NOT_FOUND",
      "done",
    ]);
  });

  it("when an instance is deleted, recovered, and purged", async () => {
    expect(await twice(() => strata.delete([web]))).to.deep.equal(["INSTANCE_DELETED", "done"]);
    expect(await twice(() => strata.instances.recover(["web"]))).to.deep.equal([
      "INSTANCE_NOT_DELETED",
      "done",
    ]);
    expect(await twice(() => strata.delete([web], { purge: true }))).to.deep.equal([
      "INSTANCE_NOT_FOUND",
      "done",
    ]);
  });

  it("when all that is deleted is purged, by who purged what", async () => {
    await strata.delete([web]);
    const purged = await Promise.all([strata.instances.purge(), strata.instances.purge()]);
    expect(purged.flat()).to.deep.equal(["web"]);
  });

  it("when a mount is taken away, and not when it is named twice", async () => {
    const place = { instance: "web", target: "/data" };
    expect(await twice(() => strata.mounts.umount([place]))).to.deep.equal(["MOUNT_NOT_FOUND", "done"]);
    await strata.mounts.mount(tmpdir(), [place]);
    await strata.mounts.umount([place, place]);
    await strata.mounts.mount(tmpdir(), [place]);
    await strata.mounts.umount([web, place]);
  });

  it("when an alias is taken away", async () => {
    await strata.aliases.add("say", { instance: "web", command: "echo", workingDirectory: "default" });
    expect(await twice(() => strata.aliases.delete(["say"]))).to.deep.equal(["ALIAS_NOT_FOUND", "done"]);
  });

  it("when an image is removed", async () => {
    const images = join(folder, "images");
    const sha256 = "ab".repeat(32);
    await mkdir(images, { recursive: true });
    await writeFile(join(images, `${sha256}.json`), "{}");
    const cache = openCache({ folder: images, log: { error() {}, warn() {}, info() {}, debug() {} } });
    expect(await twice(() => cache.remove({ sha256, system: false }))).to.deep.equal([
      "IMAGE_NOT_FOUND",
      "done",
    ]);
  });
});

describe("what an operation that died was asked for", () => {
  it("is done when locking the instance has finished the deletion of a snapshot", async () => {
    const memory = memoryEngine();
    const { instances, snapshots } = memory;
    let died = false;
    const engine: Engine = {
      ...memory,
      instances: {
        ...instances,
        async lock(instance, options, context) {
          const lock = await instances.lock(instance, options, context);
          if (!died) {
            return lock;
          }
          await snapshots.delete(lock, { name: "a", parent: null, children: [] }, context);
          return { ...lock, deleted: "a" };
        },
      },
    };
    await using strata = await openStrata({ driver: "memory", engine });
    await strata.instances.launch({ image: "any", name: "web" });
    await strata.instances.stop(["web"]);
    await strata.snapshots.take("web", { name: "a" });
    died = true;
    await strata.delete([{ instance: "web", snapshot: "a" }], { purge: true });
    expect((await strata.snapshots.list(["web"]))[0]?.snapshots).to.deep.equal([]);
  });

  for (const [what, shown] of [
    ["a removal", { removing: true }],
    ["a launch", { state: "starting" }],
  ] as const) {
    it(`is done when locking the instance has taken away what ${what} left`, async () => {
      const memory = memoryEngine();
      const { instances, world } = memory;
      let left = false;
      const engine: Engine = {
        ...memory,
        instances: {
          ...instances,
          async find(name) {
            const found = await instances.find(name);
            return found === null || !left ? found : { ...found, ...shown };
          },
          async lock(instance, options, context) {
            const lock = await instances.lock(instance, options, context);
            if (!left) {
              return lock;
            }
            await world.remove(lock.instance.id);
            await lock[Symbol.asyncDispose]();
            throw failure("INSTANCE_NOT_FOUND", instance);
          },
        },
      };
      await using strata = await openStrata({ driver: "memory", engine });
      await strata.instances.launch({ image: "any", name: "web" });
      left = true;
      await strata.delete([{ instance: "web" }], { purge: true });
      expect(await strata.instances.list()).to.deep.equal([]);
    });
  }
});
