import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
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

/** Domains of other tools have disks that are no plain qcow2 files: these are the lowest layer, and go back as they were. */
describe("an adopted domain whose disk is", () => {
  let stage: Stage;
  let lab: ForeignLab;
  let made = 0;
  stageForAll((opened) => {
    stage = opened;
  });
  beforeEach(async () => {
    lab = await ForeignLab.open(stage.fixture.folder);
  });
  afterEach(() => lab[Symbol.asyncDispose]());

  const define = (source: DiskSource, format: string) => {
    made += 1;
    const name = `strata-test-kinds-${process.pid}-${made}`;
    return lab.define(domainXml(name, diskXml(source, "vda", format)));
  };
  const kinds: Readonly<Record<string, () => Promise<string>>> = {
    "a raw file": async () => define({ file: await lab.image("raw") }, "raw"),
    "a file without a format": async () => define({ file: await lab.image("raw") }, ""),
    "a block device": async () => define({ dev: await lab.device() }, "raw"),
    "a raw volume of a pool": async () => {
      const volume = await lab.volume(await lab.image("raw"));
      return define({ pool: lab.pool, volume }, "raw");
    },
    "a qcow2 volume of a pool": async () => {
      const volume = await lab.volume(await lab.image());
      return define({ pool: lab.pool, volume }, "qcow2");
    },
    "an overlay on an image of its owner's": async () => {
      const box = await lab.image();
      return define({ file: await lab.overlay(box, "qcow2") }, "qcow2");
    },
    "an overlay on an overlay on a raw file": async () => {
      const below = await lab.overlay(await lab.image("raw"), "raw");
      return define({ file: await lab.overlay(below, "qcow2") }, "qcow2");
    },
  };
  const take = (name: string, snapshot: string) => stage.strata.snapshots.take(name, { name: snapshot });
  const restore = (instance: string, snapshot: string) =>
    stage.strata.snapshots.restore({ instance, snapshot });
  const drop = (instance: string, snapshot: string) => stage.strata.delete([{ instance, snapshot }]);
  const findings = async (name: string) =>
    (await stage.strata.maintenance.audit({ deep: true })).filter(({ instance }) => instance === name);
  const contents = (name: string) => readAll(name, stage.fixture.folder);

  for (const [kind, make] of Object.entries(kinds)) {
    it(`${kind}: comes back from snapshots, and is given back as it was`, async () => {
      const name = await make();
      const [definition, a] = [await definitionOf(name), await contents(name)];
      const [own] = await labDisks(name);
      await stage.strata.instances.adopt(name);
      await take(name, "a");
      const frozen = await digestOf(own?.path ?? "");
      await writeAll(name, 1);
      const b = await contents(name);
      await take(name, "b");
      await writeAll(name, 2);
      const c = await contents(name);
      await take(name, "c");
      await writeAll(name, 3);
      await restore(name, "a");
      expect(await contents(name), "a").to.deep.equal(a);
      await restore(name, "b");
      expect(await contents(name), "b").to.deep.equal(b);
      expect(await findings(name)).to.deep.equal([]);
      await drop(name, "b");
      await restore(name, "c");
      expect(await contents(name), "c").to.deep.equal(c);
      expect(await digestOf(own?.path ?? ""), "the file that a snapshot froze").to.equal(frozen);
      await drop(name, "a");
      await drop(name, "c");
      await stage.strata.instances.release(name);
      expect(await definitionOf(name)).to.equal(definition);
      expect(await contents(name), "released").to.deep.equal(c);
    });

    it(`${kind}: is kept as it was when the instance is removed for good`, async () => {
      const name = await make();
      const a = await contents(name);
      const own = await labDisks(name);
      await stage.strata.instances.adopt(name);
      await take(name, "a");
      await writeAll(name, 1);
      await stage.strata.delete([{ instance: name }], { purge: true });
      const [disk] = own;
      const raw = join(stage.fixture.folder, "kept.raw");
      await execa("qemu-img", ["convert", "-f", disk?.format ?? "", "-O", "raw", disk?.path ?? "", raw]);
      expect({ vda: await digestOf(raw) }).to.deep.equal(a);
    });

    it(`${kind}: is snapshotted while its guest runs, and restored`, async () => {
      const name = await make();
      const { instances } = stage.strata;
      await instances.adopt(name);
      const a = await contents(name);
      await instances.start([name]);
      await take(name, "a");
      await instances.stop([name], { force: true });
      await writeAll(name, 1);
      const b = await contents(name);
      await instances.start([name]);
      await take(name, "b");
      await instances.stop([name], { force: true });
      await writeAll(name, 2);
      await restore(name, "a");
      expect(await contents(name), "a").to.deep.equal(a);
      await drop(name, "a");
      await restore(name, "b");
      expect(await contents(name), "b").to.deep.equal(b);
      await drop(name, "b");
      expect(await findings(name)).to.deep.equal([]);
      await instances.release(name);
      expect(await contents(name), "released").to.deep.equal(b);
      await lab.requireUntouched();
    });

    it(`${kind}: is cloned with all that it holds`, async () => {
      const name = await make();
      await stage.strata.instances.adopt(name);
      const copies = [`${name}-copy`, `${name}-later`];
      try {
        for (const [at, copy] of copies.entries()) {
          await writeAll(name, at + 1);
          await stage.strata.instances.clone(name, { name: copy });
          expect(await contents(copy)).to.deep.equal(await contents(name));
          await take(name, `s${at}`);
        }
      } finally {
        for (const copy of copies) {
          await stage.strata.delete([{ instance: copy }], { purge: true });
        }
      }
    });
  }

  it("raw gets no file of the host opened by the header that its guest wrote there", async () => {
    const secret = lab.path("secret");
    await writeFile(secret, "the host's own".padEnd(65536, "."));
    const disk = lab.path("evil.raw");
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", disk, "64k"]);
    await execa("truncate", ["--size", "16M", disk]);
    // Marked as corrupt, which is no fault of a raw disk.
    const written = await readFile(disk);
    written.writeBigUInt64BE(2n, 72);
    await writeFile(disk, written);
    const name = await define({ file: disk }, "raw");
    const a = await contents(name);
    const before = await digestOf(disk);
    await stage.strata.instances.adopt(name);
    const [info] = await stage.strata.instances.info([name]);
    expect(info?.resources.disk).to.equal(16n * 1024n ** 2n);
    await take(name, "a");
    await writeAll(name, 1);
    await take(name, "b");
    await restore(name, "a");
    await take(name, "c");
    await writeAll(name, 2);
    const c = await contents(name);
    expect(await findings(name)).to.deep.equal([]);
    for (const snapshot of ["a", "b", "c"]) {
      await drop(name, snapshot);
    }
    const [active] = await labDisks(name);
    const { stdout } = await execa("qemu-img", [
      "info",
      "--backing-chain",
      "--output=json",
      active?.path ?? "",
    ]);
    const chain = JSON.parse(stdout) as { filename: string; format: string }[];
    expect(chain.map(({ filename, format }) => [filename, format]).slice(1)).to.deep.equal([[disk, "raw"]]);
    expect(await digestOf(disk)).to.equal(before);
    expect(a).not.to.deep.equal(c);
    await stage.strata.instances.release(name);
    expect(await contents(name)).to.deep.equal(c);
    const holds = await execa("grep", ["--count", "--text", "host's own", disk], { reject: false });
    expect(holds.stdout).to.equal("0");
  });

  it("raw is given back as raw, though another hand has taken strata's note of that", async () => {
    for (const kind of ["a raw file", "a block device"]) {
      const name = (await kinds[kind]?.()) ?? "";
      const definition = await definitionOf(name);
      await stage.strata.instances.adopt(name);
      await take(name, "a");
      await writeAll(name, 1);
      const b = await contents(name);
      await drop(name, "a");
      const xml = await virsh("dumpxml", "--inactive", name);
      const file = lab.path("older.xml");
      await writeFile(file, xml.replace(/<strata:own-file [^>]*>/, "").replace('version="2"', 'version="1"'));
      await virsh("define", file);
      await stage.strata.instances.release(name);
      expect(await definitionOf(name)).to.equal(definition);
      expect(await contents(name)).to.deep.equal(b);
    }
  });

  it("a raw file grows with the instance, a block device does not", async () => {
    const GROWN = 24n * 1024n ** 2n;
    const [file, device] = [await kinds["a raw file"]?.(), await kinds["a block device"]?.()];
    for (const name of [file ?? "", device ?? ""]) {
      await stage.strata.instances.adopt(name);
    }
    const grow = (name = "") => stage.strata.instances.resize(name, { disk: GROWN });
    await grow(file);
    const [own] = await labDisks(file ?? "");
    expect((await execa("stat", ["--format", "%s", own?.path ?? ""])).stdout).to.equal(String(GROWN));
    const refused = await grow(device).catch((error: unknown) => String(error));
    expect(refused).to.contain("is a device of the host; grow that, as with lvextend");
    await take(device ?? "", "a");
    await grow(device);
    await drop(device ?? "", "a");
    const release = await stage.strata.instances
      .release(device ?? "")
      .catch((error: unknown) => String(error));
    expect(release).to.contain("grow the device first");
    expect(await virsh("dumpxml", device ?? "")).to.contain("urn:strata:1");
  });
});
