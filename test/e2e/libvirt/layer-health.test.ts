import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, open, rm, stat, truncate } from "node:fs/promises";
import { expect } from "chai";
import { execa } from "execa";
import { context, lockOf, newSpec, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../../lib/engine/contract.ts";
import { readLayers } from "../../../plugins/libvirt/layers/layers.ts";
import { newLayerPath } from "../../../plugins/libvirt/layers/names.ts";
import { createOverlay } from "../../../plugins/libvirt/qcow2/overlay.ts";
import { type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";

const CLUSTER = 65536;
/** Where the layers that strata makes have their refcounts, of two bytes each. */
const REFCOUNTS = 2 * CLUSTER;

describe("the health of layers", () => {
  let fixture: LibvirtFixture;
  let instance: Instance;
  /** The layer of snapshot "a", with contents. */
  let layer: string;

  before(async () => {
    fixture = await libvirtFixture();
  });
  beforeEach(async () => {
    instance = await fixture.engine.instances.create(newSpec(fixture), context());
    await fixture.write(instance, 1);
    layer = (await fixture.layers(instance)).activeLayer;
    await held(() => take(fixture, instance, "a"));
    await copyFile(layer, `${layer}.copy`);
  });
  afterEach(async () => {
    await copyFile(`${layer}.copy`, layer);
    await rm(`${layer}.copy`);
    await held(() => fixture.engine.instances.remove(lockOf(instance.id), context()));
  });
  after(() => fixture[Symbol.asyncDispose]());

  const held = <T>(work: () => Promise<T>) => whileLocked(fixture, instance, work);

  async function findings(deep = false) {
    const found = (await fixture.engine.maintenance?.audit({ deep }, context())) ?? [];
    return found.filter((finding) => finding.instance === instance.name);
  }

  const found = async (deep?: boolean) =>
    (await findings(deep)).map(({ kind, subject }) => `${kind} ${subject === layer ? "a" : subject}`);

  async function patch(offset: number, ...bytes: number[]): Promise<void> {
    await using file = await open(layer, "r+");
    await file.write(Buffer.from(bytes), 0, bytes.length, offset);
  }

  const setRefcount = (cluster: number, count: number) => patch(REFCOUNTS + 2 * cluster, 0, count);

  /** Adds a cluster that is in use by its refcount and that nothing refers to. */
  async function leak(): Promise<void> {
    const { size } = await stat(layer);
    const cluster = Math.ceil(size / CLUSTER);
    await truncate(layer, (cluster + 1) * CLUSTER);
    await setRefcount(cluster, 1);
  }

  it("is good at first, and with the copy of a layer beside it", async () => {
    await rm(`${layer}.copy`);
    expect(await found(true)).to.deep.equal([]);
    await copyFile(layer, `${layer}.copy`);
  });

  it("a layer that was cut off is found at every run, however much of it is gone", async () => {
    const { size } = await stat(layer);
    for (const left of [size - CLUSTER, 3 * CLUSTER, 4096, 1024]) {
      await truncate(layer, left);
      expect(await found(), String(left)).to.include("layer-truncated a");
      expect((await findings()).find(({ subject }) => subject === layer)?.detail).to.contain('"a"');
      expect(await found(true), String(left)).to.include("layer-truncated a");
      await copyFile(`${layer}.copy`, layer);
    }
  });

  it("a layer that was cut off is found by each of several who look at once", async () => {
    await truncate(layer, 1024);
    const all = await Promise.all(Array.from({ length: 8 }, () => found()));
    expect(all.filter((each) => !each.includes("layer-truncated a"))).to.deep.equal([]);
  });

  it("room that QEMU made before it was killed is not missed", async () => {
    const { size } = await stat(layer);
    await setRefcount(Math.ceil(size / CLUSTER), 1);
    expect(await found()).not.to.include("layer-truncated a");
    expect(await found(true)).not.to.include("layer-corrupt a");
  });

  it("a layer that QEMU has marked as corrupt is found at every run", async () => {
    await patch(79, 2);
    expect(await found()).to.include("layer-corrupt a");
  });

  it("a layer whose tables are wrong is found by a deep look alone", async () => {
    await setRefcount(3, 0);
    expect(await found()).not.to.include("layer-corrupt a");
    expect(await found(true)).to.include("layer-corrupt a");
    expect(await fixture.engine.maintenance?.audit({ deep: true })).to.satisfy(
      (all: readonly { subject: string }[]) => all.filter(({ subject }) => subject === layer).length === 1,
    );
  });

  it("clusters that a crash has left are found by a deep look, and freed without changing the contents", async () => {
    await leak();
    expect(await found()).not.to.include("layer-leaks a");
    const [finding] = (await findings(true)).filter(({ kind }) => kind === "layer-leaks");
    if (finding === undefined) {
      throw new Error("no leak was found");
    }
    expect(finding.detail).to.contain("1 cluster of").and.to.contain("no data is lost");
    const contents = await fixture.read(instance);
    expect(await fixture.engine.maintenance?.repair(finding, context())).to.equal(true);
    expect(await fixture.read(instance)).to.equal(contents);
    expect(await found(true)).not.to.include("layer-leaks a");
    expect(await fixture.engine.maintenance?.repair(finding, context())).to.equal(false);
  });

  it("a disk that a guest writes is passed over, and what it stands on is checked beside it", async () => {
    await leak();
    const domain = await fixture.connection.lookupDomainByUuid(instance.id);
    await execa("virsh", ["-q", "start", "--paused", instance.name]);
    try {
      const all = await findings(true);
      expect(all.map(({ kind, subject }) => `${kind} ${subject}`)).to.include(`layer-leaks ${layer}`);
      for (const finding of all.filter(({ kind }) => kind === "layer-leaks")) {
        expect(await fixture.engine.maintenance?.repair(finding, context())).to.equal(false);
      }
    } finally {
      await domain.destroy();
    }
  });

  it("a layer that somebody writes is looked at without a lock of our own", async () => {
    const { folder, activeLayer } = await fixture.layers(instance);
    const stray = newLayerPath(folder);
    await createOverlay(stray, activeLayer);
    const writer = spawn("qemu-io", ["-f", "qcow2", stray], { stdio: ["pipe", "pipe", "ignore"] });
    writer.stdin.write("length\n");
    await once(writer.stdout, "data");
    try {
      expect((await findings()).filter(({ subject }) => subject === stray)).to.have.length(1);
      expect((await findings()).map(({ kind }) => kind)).not.to.include("unreadable");
    } finally {
      writer.stdin.end("quit\n");
      await once(writer, "exit");
      await rm(stray);
    }
  });
});

/** What is read in the place of layers: it holds nothing of its own, so that nothing is lost with it. */
describe("a flattened copy that was damaged", () => {
  let fixture: LibvirtFixture;
  let instance: Instance;

  before(async () => {
    fixture = await libvirtFixture({ "chain-length": "6" });
    instance = await fixture.engine.instances.create(newSpec(fixture), context());
  });
  after(async () => {
    await held(() => fixture.engine.instances.remove(lockOf(instance.id), context()));
    await fixture[Symbol.asyncDispose]();
  });

  const held = <T>(work: () => Promise<T>) => whileLocked(fixture, instance, work);

  it("is left for the layers themselves, with all that stands on it, and no contents change", async () => {
    for (let value = 1; value <= 16; value++) {
      await held(async () => {
        await fixture.write(instance, value);
        await take(fixture, instance, `s${value}`);
      });
    }
    const contents = await fixture.read(instance);
    const { folder } = await fixture.layers(instance);
    /** What each keyframe stands on. */
    const frames = async () => {
      const { flattened } = await readLayers({ name: instance.name, folder, own: new Map() });
      return new Map([...flattened].map(([path, { backing }]) => [path, backing]));
    };
    const before = await frames();
    // One that others stand on.
    const [lowest = ""] = [...before]
      .filter(([, on]) => !before.has(on ?? ""))
      .map(([path]) => path)
      .filter((path) => [...before.values()].includes(path));
    const above = [...before].filter(([, on]) => on === lowest).map(([path]) => path);
    expect(above).not.to.deep.equal([]);
    await truncate(lowest, 3 * CLUSTER);

    const all = (await fixture.engine.maintenance?.audit()) ?? [];
    const [finding, ...others] = all.filter(({ instance: name }) => name === instance.name);
    if (finding === undefined) {
      throw new Error("nothing was found");
    }
    expect([finding.kind, finding.subject, others]).to.deep.equal(["flattened-copy-damaged", lowest, []]);
    expect(await fixture.engine.maintenance?.repair(finding, context())).to.equal(true);
    for (const path of [lowest, ...above]) {
      expect((await frames()).has(path)).to.equal(false);
    }
    expect(await fixture.read(instance)).to.equal(contents);
    await fixture.audit?.(instance);

    await held(() => take(fixture, instance, "more"));
    await held(() => fixture.engine.snapshots.restore(lockOf(instance.id), "s16", context()));
    expect(await fixture.read(instance)).to.equal(contents);
    await fixture.audit?.(instance);
  });
});
