import { writeFile } from "node:fs/promises";
import { expect } from "chai";
import { Client } from "../../../plugins/libvirt/rpc/client.ts";
import { procedures } from "../../../plugins/libvirt/rpc/procedures/index.ts";
import {
  type DiskSource,
  definitionOf,
  digestOf,
  diskXml,
  domainXml,
  ForeignLab,
  labDisks,
  readAll,
  writeAll,
} from "../../support/libvirt/foreign-lab.ts";
import { stageForAll } from "../../support/libvirt/scene-hooks.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import type { Stage } from "../../support/libvirt/virsh-scene.ts";

/** Other tools attach and detach disks: each change is noticed before something is frozen or brought back without it. */
describe("a disk that virsh attaches to an instance", () => {
  let stage: Stage;
  let lab: ForeignLab;
  let name: string;
  let made = 0;
  stageForAll((opened) => {
    stage = opened;
  });
  beforeEach(async () => {
    lab = await ForeignLab.open(stage.fixture.folder);
    made += 1;
    const system = diskXml({ file: await lab.image() }, "vda");
    name = await lab.define(domainXml(`strata-test-attached-${process.pid}-${made}`, system));
    await stage.strata.instances.adopt(name);
  });
  afterEach(() => lab[Symbol.asyncDispose]());

  const warnings: string[] = [];
  const take = (snapshot: string) => {
    warnings.length = 0;
    return stage.strata.snapshots.take(name, { name: snapshot, warn: (text) => warnings.push(text) });
  };
  const restore = (snapshot: string) => stage.strata.snapshots.restore({ instance: name, snapshot });
  const drop = (snapshot: string) => stage.strata.delete([{ instance: name, snapshot }]);
  const contents = () => readAll(name, stage.fixture.folder);
  const refusal = (work: Promise<unknown>) =>
    work.then(
      () => "nothing was refused",
      (error: unknown) => String(error),
    );
  const findings = async () =>
    (await stage.strata.maintenance.audit()).filter(({ instance }) => instance === name);

  async function attach(xml: string, ...flags: readonly string[]): Promise<void> {
    const file = lab.path("device.xml");
    await writeFile(file, xml);
    await virsh("attach-device", name, file, ...(flags.length === 0 ? ["--config"] : flags));
  }

  /** Has something happen right before the engine's next call of that procedure. */
  function before(procedure: keyof typeof procedures, work: () => Promise<unknown>): void {
    const original = Client.prototype.call;
    Client.prototype.call = async function (this: Client, called, ...rest) {
      if ((called as unknown) === procedures[procedure]) {
        Client.prototype.call = original;
        await work();
      }
      return original.call(this, called, ...rest) as never;
    };
  }

  const kinds: Readonly<Record<string, () => Promise<readonly [DiskSource, string]>>> = {
    "a qcow2 file": async () => [{ file: await lab.image() }, "qcow2"],
    "a raw file": async () => [{ file: await lab.image("raw") }, "raw"],
    "a block device": async () => [{ dev: await lab.device() }, "raw"],
    "a volume": async () => [{ pool: lab.pool, volume: await lab.volume(await lab.image("raw")) }, "raw"],
    "an overlay on a raw image": async () => [
      { file: await lab.overlay(await lab.image("raw"), "raw") },
      "qcow2",
    ],
  };
  for (const [kind, make] of Object.entries(kinds)) {
    it(`is part of the next snapshot, and is given back as it was: ${kind}`, async () => {
      await take("before");
      const [source, format] = await make();
      await attach(diskXml(source, "vdb", format));
      const own = (await labDisks(name))[1]?.path ?? "";
      const definition = (await definitionOf(name)).match(/<disk (?:(?!<\/disk>)[\s\S])*vdb/)?.[0];
      await writeAll(name, 1);
      const a = await contents();
      await take("a");
      const frozen = await digestOf(own);
      await writeAll(name, 2);
      const b = await contents();
      await take("b");
      await restore("before");
      expect(Object.keys(await contents())).to.deep.equal(["vda"]);
      await restore("a");
      expect(await contents(), "a").to.deep.equal(a);
      expect(await findings()).to.deep.equal([]);
      await drop("a");
      await restore("b");
      expect(await contents(), "b").to.deep.equal(b);
      expect(await digestOf(own), "the file that the snapshot froze").to.equal(frozen);
      await drop("b");
      await drop("before");
      await stage.strata.instances.release(name);
      expect(await contents(), "released").to.deep.equal(b);
      expect(await definitionOf(name)).to.contain(definition);
      await lab.requireUntouched();
    });

    it(`and detaches again is named, and comes back with a restore: ${kind}`, async () => {
      const [source, format] = await make();
      await attach(diskXml(source, "vdb", format));
      const a = await contents();
      await take("a");
      await writeAll(name, 1);
      await virsh("detach-disk", name, "vdb", "--config");
      await take("b");
      expect(warnings.join()).to.match(/without a disk of "a"/);
      await restore("a");
      expect(await contents()).to.deep.equal(a);
      await restore("b");
      expect(Object.keys(await contents())).to.deep.equal(["vda"]);
    });
  }

  it("is taken off by strata, written back into its own file", async () => {
    await attach(diskXml({ file: await lab.image("raw") }, "vdb", "raw"));
    await attach(diskXml({ file: await lab.image("raw") }, "vdc", "raw"));
    const [, own] = await labDisks(name);
    await take("a");
    await writeAll(name, 1);
    const { vdb } = await contents();
    await drop("a");
    await stage.strata.disks.remove(name, "vdb");
    expect(Object.keys(await contents())).to.deep.equal(["vda", "vdc"]);
    const notes = (await virsh("dumpxml", "--inactive", name)).match(/own-file target=.vd./g);
    expect(notes?.map((note) => note.slice(-3))).to.deep.equal(["vdc"]);
    expect(await digestOf(own?.path ?? "")).to.equal(vdb);
    // Another file in its place is not taken for that one.
    await attach(diskXml({ file: await lab.image() }, "vdb"));
    await take("b");
    await writeAll(name, 2);
    await restore("b");
    expect(await digestOf(own?.path ?? "")).to.equal(vdb);
  });

  it("takes the place of another one, and is given back as what it is", async () => {
    await take("before");
    await attach(diskXml({ file: await lab.image("raw") }, "vdb", "raw"));
    await take("a");
    await restore("before");
    await drop("a");
    const volume = await lab.volume(await lab.overlay(await lab.image(), "qcow2"));
    await attach(diskXml({ pool: lab.pool, volume }, "vdb"));
    const definition = await definitionOf(name);
    await writeAll(name, 1);
    const b = await contents();
    await take("b");
    await writeAll(name, 2);
    await restore("b");
    expect(await contents()).to.deep.equal(b);
    await drop("b");
    await drop("before");
    await stage.strata.instances.release(name);
    expect(await contents()).to.deep.equal(b);
    expect(await definitionOf(name)).to.contain(`volume='${volume}'`);
    expect(definition).to.contain(`volume='${volume}'`);
  });

  it("is given back as it was named, though an older definition has come back in between", async () => {
    const volume = await lab.volume(await lab.image("raw"));
    await attach(diskXml({ pool: lab.pool, volume }, "vdb", "raw"));
    await take("a");
    const xml = await virsh("dumpxml", "--inactive", name);
    const file = lab.path("older.xml");
    await writeFile(file, xml.replace(/<strata:own-file [^>]*>/, "").replace('version="2"', 'version="1"'));
    await virsh("define", file);
    await restore("a");
    await writeAll(name, 1);
    const a = await contents();
    await drop("a");
    await stage.strata.instances.release(name);
    expect(await contents()).to.deep.equal(a);
    expect(await definitionOf(name)).to.contain(`volume='${volume}'`);
  });

  it("and that cannot be covered keeps the snapshot from being taken until it is left out", async () => {
    const lun = diskXml({ dev: await lab.device() }, "sda", "raw").replace("'disk'>", "'lun'>");
    await attach(lun.replace("bus='sata'", "bus='scsi'"));
    const definition = await definitionOf(name);
    expect(await refusal(take("a"))).to.match(/disk sda .* is a LUN .*strata disk exclude/);
    expect(await definitionOf(name)).to.equal(definition);
    const inside = await lab.image();
    await virsh("detach-disk", name, "sda", "--config");
    await attach(diskXml({ file: inside }, "vdb"));
    const [system] = await labDisks(name);
    await virsh("snapshot-create-as", name, "theirs");
    await virsh("snapshot-delete", name, "theirs", "--metadata");
    expect(await refusal(take("a"))).to.contain("of QEMU's own snapshots");
    expect((await labDisks(name))[0]).to.deep.equal(system);
    await stage.strata.disks.exclude(name, "vdb");
  });

  it("right before its disks are frozen is not frozen without a word", async () => {
    const [late, own] = [await lab.image("raw"), await labDisks(name)];
    const digest = await digestOf(late);
    before("domain_snapshot_create_xml", () => attach(diskXml({ file: late }, "vdb", "raw")));
    expect(await refusal(take("a"))).to.match(/another tool has attached disk vdb/);
    expect((await labDisks(name)).map(({ path }) => path)).to.deep.equal([own[0]?.path, late]);
    expect(await digestOf(late)).to.equal(digest);
    expect(await findings()).to.deep.equal([]);
    const a = await contents();
    await take("a");
    await writeAll(name, 1);
    await restore("a");
    expect(await contents()).to.deep.equal(a);
  });

  it("during a restore stays in the definition, and the restore is refused", async () => {
    await take("a");
    await writeAll(name, 1);
    const now = await contents();
    const late = await lab.image("raw");
    // The definition has been read by then.
    before("domain_get_state", () => attach(diskXml({ file: late }, "vdb", "raw")));
    expect(await refusal(restore("a"))).to.match(/another tool has attached disk vdb/);
    expect((await labDisks(name)).map(({ target }) => target)).to.deep.equal(["vda", "vdb"]);
    expect((await contents()).vda).to.deep.equal(now.vda);
  });
});
