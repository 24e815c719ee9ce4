import { randomUUID } from "node:crypto";
import { access, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { context } from "../../../lib/engine/conformance/fixture.ts";
import type { Finding } from "../../../lib/engine/contract.ts";
import libvirt from "../../../plugins/libvirt/index.ts";
import { JOURNAL } from "../../../plugins/libvirt/journal/journal.ts";
import { addPendingRemoval } from "../../../plugins/libvirt/layers/pending-removals.ts";
import { codeOf, silent } from "../../support/libvirt/fixture.ts";
import { type ForeignDomain, foreignDomain } from "../../support/libvirt/foreign-domain.ts";
import { stageForAll } from "../../support/libvirt/scene-hooks.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import type { Stage } from "../../support/libvirt/virsh-scene.ts";

const ENTRY = JSON.stringify({ version: 1, operation: { kind: "release" }, refusals: 0 });

/** A release writes into the domain's own disk: whatever else reads that would change, and whatever is in the folder would go. */
describe("a release", () => {
  let stage: Stage;
  let foreign: ForeignDomain;
  let folder: string;
  /** What the disk held when the domain was adopted. */
  let original: string;
  stageForAll((opened) => {
    stage = opened;
  });
  beforeEach(async () => {
    foreign = await foreignDomain(stage.fixture.connection, stage.fixture.folder);
    original = await stage.contents.of(foreign.disk);
    await stage.strata.instances.adopt(foreign.name);
    folder = (await layers()).folder;
  });
  afterEach(() => foreign[Symbol.asyncDispose]());

  const layers = async () => stage.fixture.layers({ id: await virsh("domuuid", foreign.name) });
  const activeLayer = async () => (await layers()).activeLayer;
  const contents = async () => stage.contents.of(await activeLayer());
  const xml = () => virsh("dumpxml", "--inactive", foreign.name);
  const write = async (file: string, value: number) => {
    await execa("qemu-io", ["-f", "qcow2", "-c", `write -P ${value} 2M 64k`, file]);
  };
  const take = (name: string) => stage.strata.snapshots.take(foreign.name, { name });
  const drop = (snapshot: string) => stage.strata.delete([{ instance: foreign.name, snapshot }]);
  const refusal = () => codeOf(stage.strata.instances.release(foreign.name));

  async function repair(kind: string, choice: string): Promise<void> {
    const found: Finding[] = (await stage.strata.maintenance.audit()).filter(
      (finding) => finding.instance === foreign.name && finding.kind === kind,
    );
    expect(found, kind).not.to.deep.equal([]);
    await stage.strata.maintenance.repair(found, { choice });
  }

  /** The domain on its own disk, with these contents and nothing of strata's. */
  async function requireReleased(digest: string): Promise<void> {
    expect(await xml())
      .to.contain(`<source file='${foreign.disk}'`)
      .and.not.contain("urn:strata:1");
    expect(await stage.contents.of(foreign.disk)).to.equal(digest);
    const there = await access(folder).then(
      () => true,
      () => false,
    );
    expect(there, folder).to.equal(false);
  }

  /** The domain still strata's, with the disk that it came with unchanged. */
  async function requireKept(digest: string): Promise<void> {
    expect(await xml()).to.contain("urn:strata:1");
    expect(await contents()).to.equal(digest);
    expect(await stage.contents.of(foreign.disk)).to.equal(original);
  }

  /** An overlay of a file with contents that are nowhere else. */
  async function overlay(on: string, path: string): Promise<string> {
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", on, "-F", "qcow2", path]);
    await write(path, 99);
    return stage.contents.of(path);
  }

  /** Has the instance write a layer right on the disk it came with, and have no snapshots. */
  async function writeOverlay(): Promise<string> {
    await take("a");
    await write(await activeLayer(), 7);
    await drop("a");
    return contents();
  }

  /** Gives the domain one more disk. */
  async function addDisk(file: string): Promise<void> {
    const disk = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${file}'/><target dev='sdz' bus='sata'/></disk>`;
    await stage.fixture.connection.defineDomain((await xml()).replace("</devices>", `${disk}</devices>`));
  }

  describe("of an instance with a snapshot whose record libvirt has lost", () => {
    let written: string;
    beforeEach(async () => {
      await take("a");
      await write(await activeLayer(), 7);
      written = await contents();
      await virsh("snapshot-delete", foreign.name, "a", "--metadata");
    });

    it("is refused, and the snapshot can be recorded again and restored", async () => {
      expect(await refusal()).to.equal("RECORDS_DIFFER");
      await requireKept(written);
      await repair("record-lost", "record");
      expect(await refusal()).to.equal("HAS_SNAPSHOTS");
      await stage.strata.snapshots.restore({ instance: foreign.name, snapshot: "a" });
      expect(await contents()).to.equal(original);
    });

    it("is done once the snapshot was given up", async () => {
      expect(await refusal()).to.equal("RECORDS_DIFFER");
      await repair("record-lost", "remove");
      await stage.strata.instances.release(foreign.name);
      await requireReleased(written);
    });

    it("is refused also where the copy of the record cannot be read", async () => {
      const [copy = ""] = await readdir(join(folder, "records"));
      await writeFile(join(folder, "records", copy), "");
      expect(await refusal()).to.equal("RECORDS_DIFFER");
      await requireKept(written);
    });

    it("is not finished by the next who comes, when the one who began has died", async () => {
      await writeFile(join(folder, JOURNAL), ENTRY);
      await stage.strata.instances.stop([foreign.name], { force: true });
      await stage.strata.instances.stop([foreign.name], { force: true });
      await requireKept(written);
      await repair("record-lost", "record");
      await stage.strata.snapshots.restore({ instance: foreign.name, snapshot: "a" });
      expect(await contents()).to.equal(original);
    });
  });

  describe("of an instance with a layer that nobody let go", () => {
    let written: string;
    let orphan: string;
    let digest: string;
    beforeEach(async () => {
      written = await writeOverlay();
      orphan = join(folder, `layer-${randomUUID()}.qcow2`);
      digest = await overlay(foreign.disk, orphan);
    });

    it("is refused, and done once the layer was given up", async () => {
      expect(await refusal()).to.equal("RECORDS_DIFFER");
      await requireKept(written);
      expect(await stage.contents.of(orphan)).to.equal(digest);
      await repair("layer-orphaned", "remove");
      await stage.strata.instances.release(foreign.name);
      await requireReleased(written);
    });

    it("is not finished by the next who comes, when the one who began has died", async () => {
      await writeFile(join(folder, JOURNAL), ENTRY);
      await stage.strata.instances.stop([foreign.name], { force: true });
      await stage.strata.instances.stop([foreign.name], { force: true });
      await requireKept(written);
      expect(await stage.contents.of(orphan)).to.equal(digest);
    });
  });

  it("that never wrote a layer is refused while one lies in its folder", async () => {
    const orphan = join(folder, `layer-${randomUUID()}.qcow2`);
    const digest = await overlay(foreign.disk, orphan);
    expect(await refusal()).to.equal("RECORDS_DIFFER");
    expect(await stage.contents.of(orphan)).to.equal(digest);
    await repair("layer-orphaned", "remove");
    await stage.strata.instances.release(foreign.name);
    await requireReleased(original);
  });

  it("is refused while another disk of the domain stands on its own", async () => {
    const written = await writeOverlay();
    const second = `${foreign.disk}.second`;
    const digest = await overlay(foreign.disk, second);
    await addDisk(second);
    expect(await refusal()).to.equal("WRONG_STATE");
    await requireKept(written);
    expect(await stage.contents.of(second)).to.equal(digest);
    await virsh("detach-disk", foreign.name, "sdz", "--config");
    await stage.strata.instances.release(foreign.name);
    await requireReleased(written);
  });

  it("that was done has nothing to warn of", async () => {
    await writeOverlay();
    const warnings: string[] = [];
    const log = { ...silent, warn: (message: string) => void warnings.push(message) };
    await using engine = await libvirt.open({ settings: {}, dataFolder: stage.fixture.folder, log });
    {
      await using lock = await engine.instances.lock({ name: foreign.name }, { wait: 0 }, context());
      await engine.adoption?.release(lock, context());
    }
    expect(warnings).to.deep.equal([]);
  });

  it("that died while it wrote the disk is done by the next", async () => {
    const written = await writeOverlay();
    await execa("qemu-img", ["commit", "-q", "-d", "-f", "qcow2", await activeLayer()]);
    await writeFile(join(folder, JOURNAL), ENTRY);
    await stage.strata.instances.stop([foreign.name], { force: true }).catch(() => {});
    await requireReleased(written);
  });

  describe("that died once the domain was back on its disk", () => {
    let written: string;
    let layer: string;
    beforeEach(async () => {
      written = await writeOverlay();
      layer = await activeLayer();
      await execa("qemu-img", ["commit", "-q", "-d", "-f", "qcow2", layer]);
      const back = (await xml()).replace(layer, foreign.disk);
      await stage.fixture.connection.defineDomain(back);
      await writeFile(join(folder, JOURNAL), ENTRY);
    });

    it("is done by the next, which removes the layer that the release let go", async () => {
      await addPendingRemoval(layer);
      await stage.strata.instances.stop([foreign.name], { force: true }).catch(() => {});
      await requireReleased(written);
    });

    it("keeps a layer that nothing proves to have been let go", async () => {
      const digest = await stage.contents.of(layer);
      await stage.strata.instances.stop([foreign.name], { force: true }).catch(() => {});
      await stage.strata.instances.stop([foreign.name], { force: true }).catch(() => {});
      expect(await stage.contents.of(layer)).to.equal(digest);
      await repair("layer-orphaned", "remove");
      await stage.strata.instances.release(foreign.name);
      await requireReleased(written);
    });

    it("is done by the next also where the folder had gone", async () => {
      await rm(folder, { recursive: true });
      const noted = (await xml()).replace(
        "</strata:instance>",
        '<strata:operation kind="release"/></strata:instance>',
      );
      await stage.fixture.connection.defineDomain(noted);
      await stage.strata.instances.stop([foreign.name], { force: true }).catch(() => {});
      await requireReleased(written);
    });
  });
});
