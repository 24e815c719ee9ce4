import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { newLayerPath } from "../../../plugins/libvirt/layers/names.ts";
import { sceneForEach } from "../../support/libvirt/scene-hooks.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import type { Scene, Stage } from "../../support/libvirt/virsh-scene.ts";

/** What the folder of an instance and the user say, where libvirt does not. */
describe("an instance that is brought back", () => {
  let stage: Stage;
  let scene: Scene;
  sceneForEach((opened, each) => {
    stage = opened;
    scene = each;
  });
  beforeEach(async () => {
    await scene.chain(["a", "b"], 2);
  });

  it("from its folder, where libvirt has never heard of it, is as it was", async () => {
    const { strata } = stage;
    await scene.restore("a");
    await scene.write(9);
    await scene.take("c");
    await strata.snapshots.describe({ instance: scene.name, snapshot: "c" }, "after the branch");
    const [before] = await strata.snapshots.list([scene.name]);
    await virsh("undefine", scene.name, "--snapshots-metadata");
    expect(await strata.instances.recoverFrom(scene.folder)).to.deep.include({ name: scene.name });
    const [after] = await strata.snapshots.list([scene.name]);
    expect(after?.snapshots.map(({ name, parent, comment }) => ({ name, parent, comment }))).to.deep.equal(
      before?.snapshots.map(({ name, parent, comment }) => ({ name, parent, comment })),
    );
    expect(after?.standsOn).to.equal(before?.standsOn);
    await scene.requireUsable();
  });

  it("with our metadata in a namespace that is declared further up is ours", async () => {
    const xml = await virsh("dumpxml", scene.name, "--inactive");
    const declared = ' xmlns:strata="urn:strata:1"';
    const moved = xml.replace(declared, "").replace(/<domain /, `<domain${declared} `);
    expect(moved).not.to.equal(xml);
    const file = join(stage.fixture.folder, "moved.xml");
    await writeFile(file, moved);
    await virsh("define", file);
    await scene.take("c");
    await scene.start();
    await scene.powerOff();
    await scene.requireUsable();
    await scene.purge();
  });

  describe("with a layer that nothing refers to and that holds data", () => {
    let orphan: string;
    let contents: string;
    beforeEach(async () => {
      orphan = newLayerPath(scene.folder);
      await execa("qemu-img", [
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        await scene.activeLayer(),
        "-F",
        "qcow2",
        orphan,
      ]);
      await scene.restore("b");
      await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 99 0 64k", orphan]);
      contents = await stage.contents.of(orphan);
    });

    const choose = async (choice: string) => {
      const found = (await scene.findings()).filter(({ kind }) => kind === "layer-orphaned");
      expect(found.map(({ subject }) => subject)).to.deep.equal([orphan]);
      await stage.strata.maintenance.repair(found, { choice });
      expect((await scene.findings()).filter(({ kind }) => kind === "layer-orphaned")).to.deep.equal([]);
    };

    it("has it as a snapshot, where that is chosen", async () => {
      await choose("record");
      scene.expected.snapshots.set("recovered1", contents);
      await scene.requireUsable();
    });

    it("writes it from then on, where that is chosen", async () => {
      await choose("activate");
      expect(await scene.activeLayer()).to.equal(orphan);
      scene.expected.activeLayer = contents;
      await scene.requireReadable("after it was activated");
      await scene.start();
      await scene.powerOff();
    });

    it("has it no more, where it is given up", async () => {
      await choose("remove");
      expect(existsSync(orphan)).to.equal(false);
      await scene.requireUsable();
    });
  });
});
