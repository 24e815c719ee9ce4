import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { answer } from "../../../../../lib/core/api/answer.ts";
import { contextOf } from "../../../../../lib/core/session/session.ts";
import { failure } from "../../../../../lib/errors.ts";
import { writeRecord } from "../../../../../lib/images/record.ts";
import { parseRef, parseSnapshotRef, Strata } from "../../../../../lib/index.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";
import { thrownCode } from "../../../../support/thrown-code.ts";

const GIB = 1024n ** 3n;

async function open() {
  const strata = await Strata.open({ driver: "memory", engine: memoryEngine() });
  await strata.instances.launch({
    image: "any",
    name: "web",
    memory: 2n * GIB,
    mounts: [{ source: tmpdir(), target: "/data" }],
  });
  await strata.instances.stop("web");
  return strata;
}

const throughJson = (value: unknown) => JSON.parse(JSON.stringify(value));

describe("answers of the library", () => {
  it("go through JSON, with sizes as numbers, sets as arrays and maps as objects", async () => {
    await using strata = await open();
    await strata.snapshots.take("web", { name: "clean" });
    const [tree] = throughJson(await strata.snapshots.list());
    expect(tree.snapshots[0]).to.include({ name: "clean", memory: Number(2n * GIB), disk: Number(5n * GIB) });
    const { features, missing } = throughJson(await strata.engine.info());
    expect(features).to.include("snapshot.stopped");
    expect(missing).to.have.property("cluster", "there is only one memory");
    const [web] = throughJson(await strata.instances.info());
    expect(web).to.deep.include({ name: "web", state: "Stopped", cpus: 1, readImageSize: null });
    expect(throughJson(await strata.instances.list())).to.have.length(1);
  });

  it("go through JSON as events too", async () => {
    await using strata = await open();
    const events = strata.events()[Symbol.asyncIterator]();
    expect((await events.next()).value?.kind).to.equal("resync");
    await strata.instances.resize("web", { cpus: 2, memory: 4n * GIB });
    const { at, ...resize } = throughJson((await events.next()).value);
    expect(resize).to.deep.equal({
      kind: "resize",
      instance: "web",
      cpus: 2,
      memory: Number(4n * GIB),
      disk: Number(5n * GIB),
    });
    await events.return?.();
  });

  it("go through JSON as images and as progress too", async () => {
    const cache = await mkdtemp(join(tmpdir(), "strata-answers-"));
    try {
      const [sha256, folder] = ["ab".repeat(32), join(cache, "images")];
      await mkdir(folder);
      await writeFile(join(folder, `${sha256}.qcow2`), "0123456789");
      const known = {
        os: "Debian",
        release: "12",
        username: "debian",
        aliases: ["debian"],
        source: "a test",
      };
      const record = {
        version: 1,
        format: "qcow2",
        sha256,
        virtualSize: GIB,
        createdAt: 0,
        ...known,
      } as const;
      await writeRecord(folder, record);
      await using strata = await Strata.open({ engine: memoryEngine(), folders: { cache } });
      const [image] = throughJson(await strata.images.list());
      expect(image).to.include({ size: 10, virtualSize: Number(GIB), release: "12" });
      const [deleted] = throughJson(await strata.images.delete("debian"));
      expect(deleted).to.include({ sha256, virtualSize: Number(GIB) });
    } finally {
      await rm(cache, { recursive: true });
    }
    const steps: string[] = [];
    const { progress } = contextOf({ progress: (step) => void steps.push(JSON.stringify(step)) });
    progress({ phase: "Downloading image", done: 1n, total: 2n });
    expect(steps).to.deep.equal(['{"phase":"Downloading image","done":1,"total":2}']);
  });

  it("keep a size that no number holds as a string that BigInt reads", () => {
    const size = 2n ** 60n + 1n;
    const { size: written } = throughJson(answer({ size }));
    expect([typeof written, BigInt(written)]).to.deep.equal(["string", size]);
  });

  it("tell in JSON why an engine failed", () => {
    const error = failure("ENGINE_UNAVAILABLE", { engine: "lxd", reason: "no socket" });
    const [told] = throughJson(answer([{ engine: "lxd", error }]));
    expect(told.error).to.include({ code: "ENGINE_UNAVAILABLE", message: error.message });
  });

  it("look the same and can be cloned, whatever JSON makes of them", () => {
    const value = { size: 1n, inner: [{ features: new Set(["a"]) }] };
    expect(answer(value)).to.deep.equal(value);
    expect(Object.keys(answer(value))).to.deep.equal(["size", "inner"]);
    expect(structuredClone(answer(value))).to.deep.equal(value);
  });
});

describe("refs of the library", () => {
  it("read as they are typed", async () => {
    await using strata = await open();
    const taken = await strata.snapshots.take("web", { name: "clean" });
    const { saved } = await strata.snapshots.restore(taken, { saveFirst: true });
    const renamed = await strata.snapshots.rename("web.clean", "first");
    expect([`${taken}`, `${saved}`, `${renamed}`]).to.deep.equal(["web.clean", "web.snapshot2", "web.first"]);
    expect(`${parseRef("web")} ${parseRef("web.clean")}`).to.equal("web web.clean");
    expect(taken).to.deep.equal({ instance: "web", snapshot: "clean" });
  });

  it("are refused as strings that name no snapshot", () => {
    expect(thrownCode(() => parseSnapshotRef("web"))).to.equal("USAGE");
    expect(thrownCode(() => parseSnapshotRef("web.no/slash"))).to.equal("INVALID_NAME");
  });

  it("delete instances and snapshots in one request, or none of them", async () => {
    await using strata = await open();
    await strata.instances.launch({ image: "any", name: "db" });
    await strata.snapshots.take("web", { name: "clean" });
    const refused = await strata.delete(["db", "web.none"]).catch((error) => error.code);
    expect(refused).to.equal("SNAPSHOT_NOT_FOUND");
    await strata.delete(["db", "web.clean"]);
    expect((await strata.instances.list()).map(({ name, state }) => `${name} ${state}`)).to.deep.equal([
      "db Deleted",
      "web Stopped",
    ]);
    expect((await strata.snapshots.tree("web")).snapshots).to.deep.equal([]);
  });
});
