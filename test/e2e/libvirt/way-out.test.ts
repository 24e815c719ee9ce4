import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { locked } from "../../../lib/engine/conformance/fixture.ts";
import type { Finding } from "../../../lib/engine/contract.ts";
import { JOURNAL } from "../../../plugins/libvirt/journal/journal.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { codeOf } from "../../support/libvirt/fixture.ts";
import { type ForeignDomain, foreignDomain } from "../../support/libvirt/foreign-domain.ts";
import { sceneForEach } from "../../support/libvirt/scene-hooks.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import type { Scene, Stage } from "../../support/libvirt/virsh-scene.ts";

/** What stands in the way of some operations must not stand in the way of all, and goes away as its hint says. */
describe("a way out", () => {
  let stage: Stage;
  let scene: Scene;
  sceneForEach((opened, each) => {
    stage = opened;
    scene = each;
  });

  const findings = async (kind: string): Promise<Finding[]> =>
    (await scene.findings()).filter((finding) => finding.kind === kind);

  /** What must always work, whatever is left half done; ends with the instance purged. */
  async function requireWays(): Promise<void> {
    const { strata } = stage;
    expect((await strata.instances.info([scene.name]))[0]?.name).to.equal(scene.name);
    expect((await strata.instances.list()).map(({ name }) => name)).to.include(scene.name);
    if ((await virsh("domstate", scene.name)) === "shut off") {
      await scene.run();
    }
    await strata.instances.stop([scene.name], { force: true });
    expect(await virsh("domstate", scene.name)).to.equal("shut off");
    await scene.requireReadable("after the ways that must always work");
    await scene.purge();
  }

  describe("of a checkpoint that a backup tool has left", () => {
    beforeEach(async () => {
      await scene.chain(["a", "b"], 2);
      await scene.run();
      await virsh("checkpoint-create-as", scene.name, "nightly");
      await scene.powerOff();
    });

    it("a take is refused beforehand, and the command that is named helps", async () => {
      const activeLayer = await scene.activeLayer();
      expect(await codeOf(stage.strata.snapshots.take(scene.name, { name: "c" }))).to.equal(
        "CHECKPOINTS_IN_WAY",
      );
      expect(await scene.activeLayer()).to.equal(activeLayer);
      expect(await readdir(scene.folder)).not.to.include(JOURNAL);
      await scene.requireReadable("after it was refused");
      await virsh("checkpoint-delete", scene.name, "nightly", "--metadata");
      await scene.take("c");
      await scene.requireReadable("after it was taken");
    });

    it("a restore is done, or refused before anything is changed", async () => {
      const activeLayer = await scene.activeLayer();
      const code = await codeOf(scene.restore("a"));
      if (code !== "nothing") {
        expect(code).to.equal("CHECKPOINTS_IN_WAY");
        expect(await scene.activeLayer()).to.equal(activeLayer);
      }
      expect(await readdir(scene.folder)).not.to.include(JOURNAL);
      expect(await virsh("checkpoint-list", scene.name, "--name")).to.equal("nightly");
      await requireWays();
    });

    it("a leaf is deleted, the instance starts, and all of it is purged", async () => {
      await stage.strata.delete([{ instance: scene.name, snapshot: "b" }]);
      scene.expected.snapshots.delete("b");
      await scene.start();
      await requireWays();
    });
  });

  describe("of one layer that is missing", () => {
    let missing: string;
    beforeEach(async () => {
      await scene.chain(["a", "b"], 2);
      missing = (await readHeader(await scene.activeLayer())).backing ?? "";
      await scene.restore("a");
      await scene.write(9);
      await scene.take("c");
      await rename(missing, `${missing}.away`);
      scene.expected.snapshots.delete("b");
    });

    it("snapshots of other branches are taken, restored and deleted", async () => {
      await scene.write(10);
      await scene.take("d");
      await scene.restore("c");
      await stage.strata.delete([{ instance: scene.name, snapshot: "d" }]);
      scene.expected.snapshots.delete("d");
      await requireWays();
    });

    it("the snapshot that is broken is named by doctor, and deleted", async () => {
      expect((await findings("layer-missing")).map(({ subject }) => subject)).to.deep.equal([missing]);
      await stage.strata.delete([{ instance: scene.name, snapshot: "b" }]);
      expect(await findings("layer-missing")).to.deep.equal([]);
      await scene.restore("a");
      await requireWays();
    });

    it("where it is the disk that the instance writes, the tree is told and a restore brings a new one", async () => {
      await scene.write(10);
      await rename(await scene.activeLayer(), `${await scene.activeLayer()}.away`);
      const [tree] = await stage.strata.snapshots.list([scene.name]);
      expect(tree?.snapshots.map(({ name }) => name)).to.have.members(["a", "b", "c"]);
      await scene.restore("c");
      await requireWays();
    });

    it("a deletion of the one below leaves the others as they were", async () => {
      await stage.strata.delete([{ instance: scene.name, snapshot: "a" }]);
      scene.expected.snapshots.delete("a");
      await scene.restore("c");
      await requireWays();
    });
  });

  it("of a layer that was cut off: a restore to it is refused, others are done", async () => {
    await scene.chain(["a", "b"], 2);
    const layer = (await readHeader(await scene.activeLayer())).backing ?? "";
    await execa("truncate", ["-s", "327680", layer]);
    const before = await scene.activeLayer();
    expect(await codeOf(scene.restore("b"))).to.equal("LAYER_UNREADABLE");
    expect(await scene.activeLayer()).to.equal(before);
    scene.expected.snapshots.delete("b");
    await scene.restore("a");
    await requireWays();
  });

  describe("of an entry in the journal", () => {
    const entries: Readonly<Record<string, readonly [entry: string, code: string, finding: string]>> = {
      "of an operation that is not known": [
        JSON.stringify({ version: 1, operation: { kind: "teleport" } }),
        "RECORD_TOO_NEW",
        "operation-too-new",
      ],
      "of a version that is not known": [
        JSON.stringify({ version: 3, operation: { kind: "restore", name: "a", file: "f", old: "o" } }),
        "RECORD_TOO_NEW",
        "operation-too-new",
      ],
      "without a member that it must have": [
        JSON.stringify({ version: 1, operation: { kind: "restore", name: "a" } }),
        "RECORDS_DIFFER",
        "operation-unreadable",
      ],
      "that is cut off": ['{"version":1,"opera', "RECORDS_DIFFER", "operation-unreadable"],
    };
    for (const [what, [entry, code, kind]] of Object.entries(entries)) {
      describe(what, () => {
        beforeEach(async () => {
          await scene.chain(["a"], 2);
          await writeFile(join(scene.folder, JOURNAL), entry);
        });

        it("a change is refused, and goes on once the entry was set aside", async () => {
          expect(await codeOf(stage.strata.snapshots.take(scene.name, { name: "b" }))).to.equal(code);
          const found = await findings(kind);
          expect(found.map(({ subject }) => subject)).to.deep.equal([join(scene.folder, JOURNAL)]);
          await stage.strata.maintenance.repair(found, { choice: "remove" });
          const [aside] = await findings("operation-set-aside");
          expect(await readFile(aside?.subject ?? "", "utf8")).to.equal(entry);
          await scene.take("b");
          await requireWays();
        });

        it("what virsh records meanwhile is known once it has stopped", async () => {
          await virsh(
            "snapshot-create-as",
            scene.name,
            "theirs",
            "--disk-only",
            "--diskspec",
            "vdb,snapshot=no",
          );
          await scene.powerOff();
          await virsh("snapshot-delete", scene.name, "theirs", "--metadata");
          expect((await findings("record-lost")).map(({ subject }) => subject)).to.deep.equal(["theirs"]);
        });

        it("what must always work does", () => requireWays());
      });
    }
  });

  describe("of a release whose own disk cannot be written", () => {
    let foreign: ForeignDomain;
    let medium: string;
    beforeEach(async () => {
      medium = join(stage.fixture.folder, "medium");
      await execa("mkdir", ["-p", medium]);
      await execa("mount", ["-t", "tmpfs", "-o", "size=64m", "tmpfs", medium]);
      foreign = await foreignDomain(stage.fixture.connection, medium);
      await stage.strata.instances.adopt(foreign.name);
      // What is written from then on is to go into the disk that the domain came with.
      await stage.strata.snapshots.take(foreign.name, { name: "a" });
      await stage.strata.delete([{ instance: foreign.name, snapshot: "a" }]);
      await execa("mount", ["-o", "remount,ro", medium]);
    });
    afterEach(async () => {
      await execa("mount", ["-o", "remount,rw", medium]);
      await foreign[Symbol.asyncDispose]();
      await execa("umount", [medium]);
    });

    it("it is refused beforehand, and done once the disk can be written", async () => {
      const { strata } = stage;
      expect(await codeOf(strata.instances.release(foreign.name))).to.equal("WRONG_STATE");
      expect((await strata.instances.info([foreign.name]))[0]?.name).to.equal(foreign.name);
      await strata.instances.stop([foreign.name], { force: true });
      await strata.snapshots.take(foreign.name, { name: "b" });
      await strata.delete([{ instance: foreign.name, snapshot: "b" }]);
      await execa("mount", ["-o", "remount,rw", medium]);
      const before = await stage.contents.of(foreign.disk);
      await strata.instances.release(foreign.name);
      expect(await stage.contents.of(foreign.disk)).to.equal(before);
    });

    it("an entry of one that is refused twice is undone, and changes go on", async () => {
      const { strata } = stage;
      const [id] = await virsh("domuuid", foreign.name).then((text) => text.split("\n"));
      const folder = join(scene.folder, "..", id ?? "");
      await writeFile(
        join(folder, JOURNAL),
        JSON.stringify({ version: 1, operation: { kind: "release" }, refusals: 0 }),
      );
      await strata.instances.stop([foreign.name], { force: true });
      await codeOf(strata.snapshots.take(foreign.name, { name: "b" }));
      await strata.snapshots.take(foreign.name, { name: "c" });
      expect(await readdir(folder)).not.to.include(JOURNAL);
    });
  });

  it("of a lock that somebody holds: the guest's power can be cut, and all is told", async () => {
    const { fixture, strata } = stage;
    await scene.chain(["a"], 2);
    await scene.run();
    {
      await using _lock = await locked(fixture, scene.instance);
      await strata.instances.stop([scene.name], { force: true });
      expect(await virsh("domstate", scene.name)).to.equal("shut off");
      expect((await strata.instances.info([scene.name]))[0]?.name).to.equal(scene.name);
      await strata.maintenance.audit();
    }
    await requireWays();
  });

  it("of a look by another doctor: each tells what is wrong", async () => {
    await scene.chain(["a"], 2);
    await virsh("snapshot-delete", scene.name, "a", "--metadata");
    const looks = await Promise.all(Array.from({ length: 4 }, () => findings("record-lost")));
    expect(looks.map((found) => found.map(({ subject }) => subject))).to.deep.equal(looks.map(() => ["a"]));
  });

  it("of the note of a launch, in a definition of old: the instance is none that a launch has left", async () => {
    await scene.chain(["a"], 2);
    const xml = await virsh("dumpxml", scene.name, "--inactive");
    const file = join(stage.fixture.folder, "old.xml");
    const noted = xml.replace("</strata:instance>", '<strata:operation kind="create"/></strata:instance>');
    expect(noted).not.to.equal(xml);
    await writeFile(file, noted);
    await virsh("define", file);
    await stage.strata.instances.stop([scene.name], { force: true });
    await scene.take("b");
    await requireWays();
  });

  it("of a base image that only a layer of libvirt's own stands on: it is in use", async () => {
    await virsh("snapshot-create-as", scene.name, "theirs", "--disk-only", "--diskspec", "vdb,snapshot=no");
    await stage.strata.delete([{ instance: scene.name, snapshot: "theirs" }]);
    const { backing } = await readHeader(await scene.activeLayer());
    expect(await scene.activeLayer()).not.to.match(/\.qcow2$/);
    const unused = (await stage.strata.maintenance.audit()).filter(({ kind }) => kind === "base-unused");
    expect(unused.map(({ subject }) => subject)).not.to.include(backing);
    await requireWays();
  });

  describe("of memory that was saved before a snapshot by virsh", () => {
    beforeEach(async () => {
      await scene.take("a");
      await scene.run();
      await virsh("managedsave", scene.name);
      await virsh("snapshot-create-as", scene.name, "theirs", "--disk-only");
      scene.expected.snapshots.set("theirs", scene.expected.activeLayer);
    });

    it("it is not resumed onto what that snapshot keeps, and can be given up", async () => {
      expect(await codeOf(scene.start())).to.equal("RECORDS_DIFFER");
      expect(await virsh("domstate", scene.name)).to.equal("shut off");
      expect(await findings("guest-misplaced")).to.have.length(1);
      await scene.powerOff();
      expect(await findings("guest-misplaced")).to.deep.equal([]);
      await scene.start();
      await requireWays();
    });

    it("a guest that virsh has resumed there is told of", async () => {
      await scene.run();
      expect(await findings("guest-misplaced")).to.have.length(1);
      await scene.powerOff();
      expect(await findings("guest-misplaced")).to.deep.equal([]);
    });
  });
});
