import { access } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { context, lockOf, newSpec } from "../../../lib/engine/conformance/fixture.ts";
import type { Disks, Instance } from "../../../lib/engine/contract.ts";
import { DomainXmlFlags } from "../../../plugins/libvirt/rpc/index.ts";
import { activeLayers, coveredDisks, readDiskAt } from "../../../plugins/libvirt/xml/disks.ts";
import { parse } from "../../../plugins/libvirt/xml/document.ts";
import { codeOf, whileLocked } from "../../support/libvirt/fixture.ts";
import { type ForeignDomain, foreignDomain } from "../../support/libvirt/foreign-domain.ts";
import { stageForAll } from "../../support/libvirt/scene-hooks.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import type { Stage } from "../../support/libvirt/virsh-scene.ts";

const MIB = 1024n ** 2n;

/** A snapshot has every disk that the guest writes, as it was at one moment. */
describe("several disks", () => {
  let stage: Stage;
  let made = 0;
  const cleanup: (() => Promise<unknown>)[] = [];
  stageForAll((opened) => {
    stage = opened;
  });
  afterEach(async () => {
    for (const each of cleanup.splice(0).reverse()) {
      await each();
    }
  });

  const definition = async (name: string) => {
    const domain = await stage.fixture.connection.lookupDomainByName(name);
    return parse(await domain.getXml(DomainXmlFlags.INACTIVE));
  };
  const files = async (name: string) => activeLayers(await definition(name));
  async function contents(name: string): Promise<string[]> {
    const digests: string[] = [];
    for (const file of await files(name)) {
      digests.push(await stage.contents.of(file));
    }
    return digests;
  }

  /** Writes a mark on every disk, another one on each. */
  async function write(name: string, mark: number): Promise<string[]> {
    for (const [at, file] of (await files(name)).entries()) {
      const format = /\.raw$/.test(file) ? "raw" : "qcow2";
      const command = `write -P ${mark * 7 + at} ${mark * 192 + 60}k 8k`;
      await execa("qemu-io", ["-f", format, "-c", command, file]);
    }
    return contents(name);
  }

  const take = (name: string, snapshot: string) => stage.strata.snapshots.take(name, { name: snapshot });
  const restore = (instance: string, snapshot: string) =>
    stage.strata.snapshots.restore({ instance, snapshot });
  const drop = (instance: string, snapshot: string) => stage.strata.delete([{ instance, snapshot }]);
  const findings = async (name: string) =>
    (await stage.strata.maintenance.audit()).filter(({ instance }) => instance === name);

  async function launch(further: number): Promise<Instance> {
    made += 1;
    const spec = newSpec(stage.fixture, {
      name: `strata-test-disks-${process.pid}-${made}`,
      extraDisks: Array.from({ length: further }, () => 32n * MIB),
    });
    const instance = await stage.fixture.engine.instances.create(spec, context());
    cleanup.push(() => purge(instance.name));
    return instance;
  }

  async function purge(name: string): Promise<void> {
    await stage.strata.delete([{ instance: name }], { purge: true }).catch(() => {});
  }

  async function disks<T>(
    instance: Pick<Instance, "id" | "name">,
    work: (group: Disks) => Promise<T>,
  ): Promise<T> {
    const { engine } = stage.fixture;
    if (engine.disks === undefined) {
      throw new Error("the engine has no disks");
    }
    const group = engine.disks;
    return whileLocked(stage.fixture, instance, () => work(group));
  }

  const found = async (name: string) => {
    const instance = await stage.fixture.engine.instances.find(name);
    if (instance === null) {
      throw new Error(`there is no ${name}`);
    }
    return instance;
  };

  /** A domain of somebody else's, adopted, with further disks of its own. */
  async function adopt(further: readonly string[]): Promise<ForeignDomain & { own: string[] }> {
    const own: string[] = [];
    const devices: string[] = [];
    for (const [at, target] of further.entries()) {
      const path = join(stage.fixture.folder, `own-${process.pid}-${++made}.qcow2`);
      await execa("qemu-img", ["create", "-q", "-f", "qcow2", path, "16M"]);
      await execa("qemu-io", ["-f", "qcow2", "-c", `write -P ${100 + at} 2M 64k`, path]);
      own.push(path);
      devices.push(disk(path, target));
    }
    const foreign = await foreignDomain(stage.fixture.connection, stage.fixture.folder);
    cleanup.push(async () => foreign[Symbol.asyncDispose]());
    await stage.strata.instances.adopt(foreign.name);
    await redefine(foreign.name, (xml) => xml.replace("</devices>", `${devices.join("")}</devices>`));
    return { ...foreign, own };
  }

  const disk = (path: string, target: string, format = "qcow2") =>
    `<disk type='file' device='disk'><driver name='qemu' type='${format}'/><source file='${path}'/><target dev='${target}' bus='sata'/></disk>`;

  async function redefine(name: string, change: (xml: string) => string): Promise<void> {
    const domain = await stage.fixture.connection.lookupDomainByName(name);
    await stage.fixture.connection.defineDomain(change(await domain.getXml(DomainXmlFlags.INACTIVE)));
  }

  for (const further of [0, 1, 2]) {
    it(`come back from a snapshot and outlive the deletion of the middle one: ${further + 1}`, async () => {
      const { name } = await launch(further);
      expect(await files(name)).to.have.length(further + 1);
      const a = await write(name, 1);
      await take(name, "a");
      const b = await write(name, 2);
      await take(name, "b");
      const c = await write(name, 3);
      await take(name, "c");
      await write(name, 4);
      await restore(name, "b");
      expect(await contents(name)).to.deep.equal(b);
      await write(name, 5);
      await restore(name, "c");
      expect(await contents(name)).to.deep.equal(c);
      await drop(name, "b");
      expect(await contents(name)).to.deep.equal(c);
      await restore(name, "a");
      expect(await contents(name)).to.deep.equal(a);
      const now = await write(name, 6);
      await drop(name, "a");
      await drop(name, "c");
      expect(await contents(name)).to.deep.equal(now);
      expect(await findings(name)).to.deep.equal([]);
      await stage.fixture.audit?.(await found(name));
      const { resources } = await found(name);
      expect(resources.disks?.map(({ size }) => size)).to.deep.equal(
        further === 0 ? undefined : Array.from({ length: further }, () => 32n * MIB),
      );
    });
  }

  it("are told by instance and snapshot", async () => {
    const { name, resources } = await launch(2);
    expect(resources.disks?.map((each) => each.name)).to.deep.equal(["vdc", "vdd"]);
    await take(name, "a");
    const { snapshots } = await stage.fixture.engine.snapshots.tree((await found(name)).id);
    const [snapshot] = snapshots;
    expect(snapshot?.resources.disks).to.deep.equal([
      { name: "vdc", size: 32n * MIB },
      { name: "vdd", size: 32n * MIB },
    ]);
  });

  for (const further of [1, 2]) {
    it(`of another's making are given back as the guest left them: ${further + 1}`, async () => {
      const targets = ["sdc", "sdd"].slice(0, further);
      const { name, disk: first, own } = await adopt(targets);
      const before = await contents(name);
      await take(name, "a");
      expect(await contents(name)).to.deep.equal(before);
      await write(name, 1);
      await take(name, "b");
      await write(name, 2);
      await take(name, "c");
      await restore(name, "a");
      expect(await contents(name)).to.deep.equal(before);
      await restore(name, "c");
      await drop(name, "b");
      const now = await write(name, 3);
      expect(await codeOf(stage.strata.instances.release(name))).to.equal("HAS_SNAPSHOTS");
      await drop(name, "a");
      await drop(name, "c");
      expect(await findings(name)).to.deep.equal([]);
      await stage.strata.instances.release(name);
      expect(await files(name)).to.deep.equal([first, ...own]);
      expect(await contents(name)).to.deep.equal(now);
      expect(await virsh("dumpxml", "--inactive", name)).not.to.contain("urn:strata:1");
    });
  }

  it("attached by another hand are part of the next snapshot, and leave with a restore of an earlier one", async () => {
    const instance = await launch(0);
    const { name } = instance;
    await take(name, "before");
    const path = join(stage.fixture.folder, `attached-${++made}.qcow2`);
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", path, "16M"]);
    await redefine(name, (xml) =>
      xml.replace("</devices>", `${disk(path, "vdz").replace("sata", "virtio")}</devices>`),
    );
    const a = await write(name, 1);
    await take(name, "a");
    await write(name, 2);
    await restore(name, "before");
    expect(await files(name)).to.have.length(1);
    await access(path);
    await restore(name, "a");
    expect(await contents(name)).to.deep.equal(a);
    expect(await findings(name)).to.deep.equal([]);
  });

  it("that cannot be covered are refused by name until they are left out", async () => {
    const instance = await launch(0);
    const { name } = instance;
    const path = join(stage.fixture.folder, `attached-${++made}.raw`);
    await execa("qemu-img", ["create", "-q", "-f", "raw", path, "16M"]);
    await redefine(name, (xml) =>
      xml.replace(
        "</devices>",
        `${disk(path, "vdz", "raw").replace("sata'/>", "virtio'/><transient/>")}</devices>`,
      ),
    );
    const refused = await take(name, "a").catch((error: unknown) => String(error));
    expect(refused).to.contain("vdz").and.to.contain("strata disk exclude");
    await disks(instance, (group) => group.exclude(lockOf(instance.id), "vdz", true, context()));
    await take(name, "a");
    const { resources } = await found(name);
    expect(resources.disks).to.deep.equal([{ name: "vdz", size: 16n * MIB, excluded: true }]);
    await restore(name, "a");
    expect(readDiskAt(await definition(name), "vdz")).to.equal(path);
  });

  it("that are left out stay as they are", async () => {
    const instance = await launch(2);
    const { name, id } = instance;
    await write(name, 1);
    await take(name, "all");
    await disks(instance, (group) => group.exclude(lockOf(id), "vdc", true, context()));
    expect(coveredDisks(await definition(name)).map(({ target }) => target)).to.deep.equal(["vda", "vdd"]);
    const [system, , last] = await write(name, 2);
    await take(name, "some");
    const [, excluded] = await write(name, 3);
    await restore(name, "some");
    expect(await contents(name)).to.deep.equal([system, excluded, last]);
    await restore(name, "all");
    expect((await contents(name))[1]).to.equal(excluded);
    await disks(instance, (group) => group.exclude(lockOf(id), "vdc", false, context()));
    await take(name, "again");
    await restore(name, "some");
    expect((await contents(name))[1], "left out then").to.equal(excluded);
    await drop(name, "all");
    await drop(name, "again");
    expect((await contents(name))[1]).to.equal(excluded);
    expect(await findings(name)).to.deep.equal([]);
  });

  it("that a definition leaves out are not covered, and can be", async () => {
    const instance = await launch(1);
    const { name, id } = instance;
    await redefine(name, (xml) =>
      xml.replace(
        /<disk type='file' device='disk'>(?=(?:(?!<\/disk>)[\s\S])*vdc)/,
        "<disk type='file' device='disk' snapshot='no'>",
      ),
    );
    await write(name, 1);
    await take(name, "a");
    const [, kept] = await write(name, 2);
    await restore(name, "a");
    expect((await contents(name))[1]).to.equal(kept);
    expect((await found(name)).resources.disks?.[0]?.excluded).to.equal(true);
    await disks(instance, (group) => group.exclude(lockOf(id), "vdc", false, context()));
    expect((await found(name)).resources.disks?.[0]?.excluded).to.equal(undefined);
    await take(name, "b");
    await write(name, 3);
    await restore(name, "b");
    expect((await contents(name))[1]).to.equal(kept);
  });

  it("are added and removed, and keep their names while a snapshot has them", async () => {
    const instance = await launch(0);
    const { name, id } = instance;
    await take(name, "before");
    const added = await disks(instance, (group) => group.add(lockOf(id), 8n * MIB, context()));
    expect(added).to.deep.equal({ name: "vdc", size: 8n * MIB });
    const a = await write(name, 1);
    await take(name, "a");
    const removal = () => disks(instance, (group) => group.remove(lockOf(id), "vdc", context()));
    expect(await codeOf(removal())).to.equal("DISK_IN_SNAPSHOT");
    await restore(name, "before");
    const other = await disks(instance, (group) => group.add(lockOf(id), 8n * MIB, context()));
    expect(other.name).to.equal("vdd");
    await restore(name, "a");
    expect(await contents(name)).to.deep.equal(a);
    await drop(name, "a");
    await removal();
    expect(await files(name)).to.have.length(1);
    expect(await codeOf(removal())).to.equal("DISK_NOT_FOUND");
    expect(await findings(name)).to.deep.equal([]);
    await stage.fixture.audit?.(await found(name));
  });

  it("are covered, whatever was left out under their name before", async () => {
    const instance = await launch(1);
    const { id, name } = instance;
    await take(name, "first");
    await disks(instance, (group) => group.exclude(lockOf(id), "vdc", true, context()));
    const added = await disks(instance, async (group) => {
      const { name: second } = await group.add(lockOf(id), 16n * MIB, context());
      await group.exclude(lockOf(id), second, true, context());
      await group.remove(lockOf(id), second, context());
      return group.add(lockOf(id), 16n * MIB, context());
    });
    expect(added).to.deep.equal({ name: "vdd", size: 16n * MIB });
    expect((await found(name)).resources.disks).to.deep.equal([
      { name: "vdc", size: 32n * MIB, excluded: true },
      { name: "vdd", size: 16n * MIB },
    ]);
    const detached = (await files(name))[2] ?? "";
    await disks(instance, (group) => group.exclude(lockOf(id), "vdd", true, context()));
    await virsh("detach-disk", name, "vdd", "--config");
    const other = await disks(instance, (group) => group.add(lockOf(id), 16n * MIB, context()));
    expect((await found(name)).resources.disks?.find((disk) => disk.name === other.name)).to.deep.equal(
      other,
    );
    await access(detached);
  });

  it("of another's making are taken away with what the guest wrote", async () => {
    const { name, own } = await adopt(["sdc"]);
    const instance = await found(name);
    await take(name, "a");
    const [, second] = await write(name, 1);
    await drop(name, "a");
    await disks(instance, (group) => group.remove(lockOf(instance.id), "sdc", context()));
    expect(await stage.contents.of(own[0] ?? "")).to.equal(second);
    expect(await files(name)).to.have.length(1);
    expect(await findings(name)).to.deep.equal([]);
  });

  it("are copied with the instance, without those that are left out", async () => {
    const instance = await launch(2);
    const { name, id } = instance;
    await write(name, 1);
    await take(name, "a");
    await write(name, 2);
    await disks(instance, (group) => group.exclude(lockOf(id), "vdc", true, context()));
    const [system, , last] = await contents(name);
    const copy = `${name}-copy`;
    cleanup.push(() => purge(copy));
    await stage.strata.instances.clone(name, { name: copy });
    expect(await contents(copy)).to.deep.equal([system, last]);
  });

  it("grow by their names", async () => {
    const instance = await launch(2);
    const { name, id } = instance;
    await take(name, "a");
    const resize = (size: bigint, target = "vdd") =>
      whileLocked(stage.fixture, instance, () =>
        stage.fixture.engine.instances.resize(lockOf(id), { disks: [{ name: target, size }] }, context()),
      );
    await resize(48n * MIB);
    expect((await found(name)).resources.disks?.map(({ size }) => size)).to.deep.equal([
      32n * MIB,
      48n * MIB,
    ]);
    expect(await codeOf(resize(16n * MIB))).to.equal("DISK_SHRINK");
    expect(await codeOf(resize(64n * MIB, "vdx"))).to.equal("DISK_NOT_FOUND");
    await restore(name, "a");
    expect((await found(name)).resources.disks?.map(({ size }) => size)).to.deep.equal([
      32n * MIB,
      32n * MIB,
    ]);
  });

  it("have a read image each", async () => {
    const { name } = await launch(2);
    const before: string[][] = [];
    for (const mark of [1, 2, 3, 4, 5, 6]) {
      before.push(await write(name, mark));
      await take(name, `s${mark}`);
    }
    const now = await write(name, 7);
    await stage.strata.instances.optimize([name]);
    expect(await contents(name)).to.deep.equal(now);
    await stage.fixture.audit?.(await found(name));
    await restore(name, "s3");
    expect(await contents(name)).to.deep.equal(before[2]);
    await drop(name, "s4");
    await restore(name, "s5");
    expect(await contents(name)).to.deep.equal(before[4]);
    expect(await findings(name)).to.deep.equal([]);
  });

  it("detached by another hand are told by a take, and doctor makes no snapshot of what is left of them", async () => {
    const { name, id } = await launch(1);
    await write(name, 1);
    await take(name, "a");
    await virsh("detach-disk", name, "vdc", "--config");
    const warnings: string[] = [];
    await whileLocked(stage.fixture, { name, id }, async () => {
      const { resources, mounts, nics } = await found(name);
      const made = { name: "b", comment: "", parent: "a", resources, mounts, nics };
      const record = { ...made, cloudInstanceId: "", createdAt: 1_700_000_000_000 };
      const warn = (text: string) => warnings.push(text);
      await stage.fixture.engine.snapshots.take(lockOf(id), record, 2, { ...context(), warn });
    });
    expect(warnings.join()).to.contain('a disk of "a"');
    const [left, ...others] = await findings(name);
    expect(others).to.deep.equal([]);
    expect(left).to.include({ kind: "layer-orphaned" }).and.not.to.have.property("repair");
    expect(left?.choices?.map((choice) => choice.name)).to.deep.equal(["remove"]);
  });
});
