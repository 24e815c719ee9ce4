import { stat } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { context, lockOf, newSpec, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../../lib/engine/contract.ts";
import { DomainXmlFlags } from "../../../plugins/libvirt/rpc/index.ts";
import { type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";

const MIB = 1024n ** 2n;

describe("disks that restores leave", () => {
  let fixture: LibvirtFixture;
  let instance: Instance;
  before(async () => {
    fixture = await libvirtFixture();
  });
  beforeEach(async () => {
    const resources = { cpus: 1, memory: 256n * MIB, disk: 512n * MIB };
    instance = await fixture.engine.instances.create(newSpec(fixture, { resources }), context());
    await held(async () => {
      for (const name of ["a", "b"]) {
        await fixture.write(instance, name.charCodeAt(0));
        await take(fixture, instance, name);
      }
    });
  });
  afterEach(async () => {
    await held(() => fixture.engine.instances.remove(lockOf(instance.id), context()));
  });
  after(() => fixture[Symbol.asyncDispose]());

  const held = <T>(work: () => Promise<T>) => whileLocked(fixture, instance, work);
  const restore = (name: string) => fixture.engine.snapshots.restore(lockOf(instance.id), name, context());
  const drop = (name: string, parent: string | null, children: string[] = []) =>
    fixture.engine.snapshots.delete(lockOf(instance.id), { name, parent, children }, context());
  const activeLayer = async () => (await fixture.layers(instance)).activeLayer;
  const waiting = async () => (await fixture.layers(instance)).pendingRemovals;
  const isThere = (path: string) =>
    stat(path).then(
      () => true,
      () => false,
    );
  const findings = async () =>
    (await fixture.engine.maintenance?.audit())?.filter((finding) => finding.instance === instance.name);

  /** What a restore of a snapshot brings back. */
  async function contentsOf(name: string): Promise<string> {
    await held(() => restore(name));
    return fixture.read(instance);
  }

  /** Brings back a definition in which the domain writes that file, as `virsh define` of an old one does. */
  async function define(file: string): Promise<void> {
    const domain = await fixture.connection.lookupDomainByUuid(instance.id);
    const xml = await domain.getXml(DomainXmlFlags.INACTIVE);
    await fixture.connection.defineDomain(xml.replace(await activeLayer(), file));
  }

  for (const [what, collect] of [
    ["a deletion", () => drop("b", "a")],
    ["a stop", () => fixture.engine.instances.stop(lockOf(instance.id), "force", context())],
    [
      "bringing layers together",
      async () => fixture.engine.readImages?.build(lockOf(instance.id), context()),
    ],
  ] as const) {
    it(`a small one waits for ${what}, and nobody need know of it`, async () => {
      const old = await activeLayer();
      await held(() => restore("a"));
      expect(await waiting()).to.deep.equal([old]);
      expect(await isThere(old)).to.equal(true);
      expect(await findings()).to.deep.equal([]);
      await fixture.audit?.(instance);
      await held(collect);
      expect(await waiting()).to.deep.equal([]);
      expect(await isThere(old)).to.equal(false);
      await fixture.audit?.(instance);
    });
  }

  it("a start takes it away before the guest runs", async () => {
    const old = await activeLayer();
    await held(async () => {
      await restore("a");
      await fixture.engine.instances.start(lockOf(instance.id), context());
      expect(await waiting()).to.deep.equal([]);
      expect(await isThere(old)).to.equal(false);
    });
  });

  it("a large one is taken away at once, with those that wait", async () => {
    const small = await activeLayer();
    await held(() => restore("a"));
    const large = await activeLayer();
    await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 1 0 257M", large]);
    await held(() => restore("b"));
    expect(await waiting()).to.deep.equal([]);
    expect([await isThere(small), await isThere(large)]).to.deep.equal([false, false]);
    await fixture.audit?.(instance);
  });

  it("many are taken away together", async () => {
    const activeLayers = [];
    for (let at = 1; at <= 17; at += 1) {
      activeLayers.push(await activeLayer());
      await held(() => restore(at % 2 === 0 ? "a" : "b"));
      expect(await waiting()).to.have.length(at % 17);
    }
    for (const path of activeLayers) {
      expect(await isThere(path), path).to.equal(false);
    }
    await fixture.audit?.(instance);
  });

  it("one that a snapshot froze meanwhile stays, in whatever place the layer above is", async () => {
    const old = await activeLayer();
    await fixture.write(instance, 99);
    const contents = await fixture.read(instance);
    await held(() => restore("a"));
    expect(await waiting()).to.deep.equal([old]);
    await define(old);
    const overlay = join(fixture.folder, `${instance.id}-elsewhere.qcow2`);
    const disks = ["--diskspec", `vda,file=${overlay}`, "--diskspec", "vdb,snapshot=no"];
    await execa("virsh", ["snapshot-create-as", instance.name, "mine", "--disk-only", "--atomic", ...disks]);
    await held(() => restore("a"));
    for (let at = 0; at < 17; at += 1) {
      await held(() => restore("b"));
    }
    await held(() => drop("b", "a", ["mine"]));
    expect(await waiting()).to.deep.equal([]);
    expect(await contentsOf("mine")).to.equal(contents);
  });

  it("what an overlay of somebody's reads through stays readable, and what the instance writes again stays", async () => {
    const old = await activeLayer();
    await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 99 0 64k", old]);
    await held(() => restore("a"));
    const { folder } = await fixture.layers(instance);
    const overlay = join(folder, "mine.qcow2");
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", old, "-F", "qcow2", overlay]);
    const next = await activeLayer();
    await held(() => restore("b"));
    await define(next);
    expect(await waiting()).to.deep.equal([next]);
    await held(() => fixture.engine.instances.stop(lockOf(instance.id), "force", context()));
    expect(await waiting()).to.deep.equal([]);
    expect(await isThere(next)).to.equal(true);
    const read = await execa("qemu-io", ["-f", "qcow2", "-c", "read -P 99 0 64k", overlay]);
    expect(read.stdout)
      .to.match(/^read 65536/)
      .and.not.contain("failed");
  });
});
