import { existsSync } from "node:fs";
import { link, mkdir, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import type { Finding } from "../../../lib/engine/contract.ts";
import { JOURNAL } from "../../../plugins/libvirt/journal/journal.ts";
import { replacedPath } from "../../../plugins/libvirt/layers/names.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { RECORDS } from "../../../plugins/libvirt/snapshots/record-copies.ts";
import { fileVersion } from "../../../plugins/libvirt/storage/file-version.ts";
import { codeOf } from "../../support/libvirt/fixture.ts";
import { sceneForEach } from "../../support/libvirt/scene-hooks.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import type { Scene, Stage } from "../../support/libvirt/virsh-scene.ts";

/** Where the mark 3 of a scene lies, and nothing else: a whole cluster. */
const CLUSTER = "576k 64k";

/** Layers are merged by their rules also after somebody died, whatever other hands did in between. */
describe("the merge of layers", () => {
  let stage: Stage;
  let scene: Scene;
  sceneForEach((opened, each) => {
    stage = opened;
    scene = each;
  });

  const findings = async (kind: string): Promise<Finding[]> =>
    (await scene.findings()).filter((finding) => finding.kind === kind);
  const repair = async (kind: string, choice: string) =>
    stage.strata.maintenance.repair(await findings(kind), { choice });
  const backingOf = async (path: string) => (await readHeader(path)).backing ?? "";
  const drop = async (snapshot: string) => {
    await stage.strata.delete([{ instance: scene.name, snapshot }]);
    scene.expected.snapshots.delete(snapshot);
  };
  /** Writes the cluster of mark 3 in one file, whatever that stands on. */
  const overwrite = async (path: string, value: number) => {
    const image = { driver: "qcow2", backing: null, file: { driver: "file", filename: path } };
    await execa("qemu-io", ["-c", `write -P ${value} ${CLUSTER}`, `json:${JSON.stringify(image)}`]);
  };
  /** As a deletion of the newest snapshot leaves it that was killed as its merge began. */
  const beginMerge = async (snapshot: string) => {
    const child = await scene.activeLayer();
    const layer = await backingOf(child);
    const merge = { kind: "merge", layer, child, target: await backingOf(layer) };
    await virsh("snapshot-delete", scene.name, snapshot, "--metadata");
    for (const file of await readdir(join(scene.folder, RECORDS))) {
      if (file.startsWith(`${snapshot}.`)) {
        await rm(join(scene.folder, RECORDS, file));
      }
    }
    scene.expected.snapshots.delete(snapshot);
    await note(merge);
    return merge;
  };
  const note = (operation: object) =>
    writeFile(join(scene.folder, JOURNAL), JSON.stringify({ version: 1, operation, refusals: 0 }));

  describe("that was killed while the layer was given its child's place", () => {
    let child: string;
    let kept: string;
    let layer: string;
    beforeEach(async () => {
      await scene.chain(["a", "b"], 2);
      const merge = await beginMerge("b");
      ({ child, layer } = merge);
      kept = replacedPath(child);
      await execa("qemu-img", ["commit", "-q", "-f", "qcow2", "-d", child]);
      await note({ ...merge, childStamp: fileVersion(child), layerStamp: fileVersion(layer) });
      await link(child, kept);
      await rename(layer, child);
    });

    it("keeps what a guest has written since", async () => {
      await overwrite(child, 77);
      scene.expected.activeLayer = await scene.readActiveLayer();
      await scene.take("c");
      await scene.requireReadable("after the next change");
      expect((await readdir(scene.folder)).filter((file) => file.endsWith(".replaced"))).to.deep.equal([]);
      expect(existsSync(layer)).to.equal(false);
    });

    it("keeps what a guest has written that had the child open before", async () => {
      await overwrite(kept, 78);
      await scene.powerOff();
      const written = join(stage.fixture.folder, "written.raw");
      await execa("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", child, written]);
      expect((await readFile(written)).subarray(576 * 1024, 577 * 1024)).to.deep.equal(
        Buffer.alloc(1024, 78),
      );
      scene.expected.activeLayer = await scene.readActiveLayer();
      await scene.take("c");
      await scene.requireReadable("after the next change");
      expect(existsSync(kept)).to.equal(false);
    });

    it("keeps both files where two guests have written, and says so", async () => {
      await overwrite(child, 77);
      await overwrite(kept, 78);
      scene.expected.activeLayer = await scene.readActiveLayer();
      expect(await codeOf(stage.strata.snapshots.take(scene.name, { name: "c" }))).to.equal("RECORDS_DIFFER");
      await scene.take("c");
      await drop("a");
      expect(existsSync(kept)).to.equal(true);
      expect(await findings("operation-set-aside")).to.have.length(1);
      await scene.requireReadable("after it was given up");
    });
  });

  it("is not done again where the layer is the instance's disk by now", async () => {
    await scene.take("a");
    await scene.write(2);
    const old = await virsh("dumpxml", scene.name, "--inactive");
    await scene.take("b");
    const disk = scene.expected.activeLayer;
    await scene.write(3);
    const { layer, child } = await beginMerge("b");
    scene.expected.kept.add(scene.expected.activeLayer);
    scene.expected.activeLayer = disk;
    const file = join(stage.fixture.folder, "old.xml");
    await writeFile(file, old);
    await virsh("define", file);
    await scene.powerOff();
    expect(existsSync(layer)).to.equal(true);
    expect(existsSync(child)).to.equal(true);
    await scene.requireReadable("after a stop");
  });

  it("waits for a layer that cannot be read, and is done when it can", async () => {
    await scene.chain(["a", "b"], 2);
    const { layer } = await beginMerge("b");
    const magic = (await readFile(layer)).subarray(0, 4);
    const spoil = async (bytes: Buffer) => {
      await using file = await open(layer, "r+");
      await file.write(bytes, 0, 4, 0);
    };
    await spoil(Buffer.from("nope"));
    expect(await codeOf(stage.strata.snapshots.take(scene.name, { name: "c" }))).to.equal("LAYER_UNREADABLE");
    expect(await codeOf(stage.strata.snapshots.take(scene.name, { name: "c" }))).to.equal("LAYER_UNREADABLE");
    await spoil(magic);
    await scene.requireReadable("once the layer can be read again");
    await repair("operation-set-aside", "retry");
    await scene.requireReadable("after it was tried again");
    expect(await findings("operation-set-aside")).to.deep.equal([]);
    expect(existsSync(layer)).to.equal(false);
  });

  it("is not begun while another was set aside", async () => {
    await scene.chain(["a", "b"], 2);
    const activeLayer = await scene.activeLayer();
    await writeFile(
      join(scene.folder, "journal-1.json"),
      JSON.stringify({
        version: 1,
        operation: { kind: "merge", layer: "/l", child: activeLayer, target: "" },
      }),
    );
    const layer = await backingOf(activeLayer);
    await drop("b");
    await scene.powerOff();
    expect(existsSync(layer)).to.equal(true);
    await repair("operation-set-aside", "remove");
    await scene.powerOff();
    expect(existsSync(layer)).to.equal(false);
    await scene.requireReadable("at the end");
  });

  describe("that several others stand on", () => {
    let hidden: string;
    beforeEach(async () => {
      await scene.chain(["z", "a", "b"], 2);
      await scene.restore("a");
      await scene.write(9);
      await scene.take("c");
      await scene.write(10);
      hidden = await backingOf(await backingOf(await scene.activeLayer()));
      await drop("a");
    });

    it("changes nothing below one that is missing and that no snapshot names", async () => {
      await scene.restore("z");
      await scene.write(11);
      const below = await backingOf(await scene.activeLayer());
      await rename(hidden, `${hidden}.away`);
      const inode = fileVersion(below);
      await drop("z");
      await scene.powerOff();
      expect(fileVersion(below)).to.equal(inode);
      await rename(`${hidden}.away`, hidden);
      await scene.requireReadable("once it was brought back");
    });

    it("leaves one alone that another hand has written since", async () => {
      await overwrite(hidden, 55);
      const stamp = fileVersion(hidden);
      await drop("b");
      await scene.powerOff();
      expect(fileVersion(hidden)).to.equal(stamp);
      expect((await findings("layer-unnamed")).map(({ subject }) => subject)).to.deep.equal([hidden]);
    });
  });

  it("that cannot be begun leaves a deletion done", async () => {
    await scene.chain(["a", "b"], 2);
    await mkdir(join(scene.folder, "journal-1.json"));
    await drop("b");
    const [tree] = await stage.strata.snapshots.list([scene.name]);
    expect(tree?.snapshots.map(({ name }) => name)).to.deep.equal(["a"]);
    await scene.requireReadable("after it");
    await rm(join(scene.folder, "journal-1.json"), { recursive: true });
    await scene.powerOff();
    await scene.requireReadable("after the layer was merged");
  });
});
