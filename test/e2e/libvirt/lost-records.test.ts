import { readdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { RECORDS } from "../../../plugins/libvirt/snapshots/record-copies.ts";
import { codeOf } from "../../support/libvirt/fixture.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import { openStage, Scene } from "../../support/libvirt/virsh-scene.ts";

describe("a record that libvirt has lost, and its layer", () => {
  it("comes back with the layer, which something stands on", async () => {
    await using stage = await openStage();
    await using scene = await Scene.open(stage);
    await scene.chain(["a", "b"], 2);
    const layer = (await readHeader(await scene.activeLayer())).backing ?? "";
    await virsh("snapshot-delete", scene.name, "b", "--metadata");
    await rename(layer, `${layer}.away`);
    await scene.powerOff();
    await rename(`${layer}.away`, layer);
    const lost = (await scene.findings()).filter(({ kind }) => kind === "record-lost");
    expect(lost.map(({ subject }) => subject)).to.deep.equal(["b"]);
    await stage.strata.maintenance.repair(lost, { choice: "record" });
    await scene.requireUsable();
  });
});

describe("records that were lost with the copy of one of them", () => {
  it("are recorded again, that one by its name and its layer", async () => {
    await using stage = await openStage();
    await using scene = await Scene.open(stage);
    await scene.chain(["a", "b"], 2);
    const copies = await readdir(join(scene.folder, RECORDS));
    const [broken = ""] = copies.filter((file) => file.startsWith("b."));
    await writeFile(join(scene.folder, RECORDS, broken), "garbled");
    for (const snapshot of ["b", "a"]) {
      await virsh("snapshot-delete", scene.name, snapshot, "--metadata");
    }
    const lost = (await scene.findings()).filter(({ kind }) => kind === "record-lost");
    expect(lost.map(({ subject }) => subject)).to.have.members(["a", "b"]);
    await stage.strata.maintenance.repair(lost);
    await scene.requireUsable();
  });
});

describe("snapshots inside the instance's disk that libvirt has forgotten", () => {
  it("are named by doctor", async () => {
    await using stage = await openStage();
    await using scene = await Scene.open(stage);
    await virsh("snapshot-create-as", scene.name, "inside", "--diskspec", "vdb,snapshot=no");
    await virsh("snapshot-delete", scene.name, "inside", "--metadata");
    const found = (await scene.findings()).filter(({ kind }) => kind === "inside-unrecorded");
    expect(found.map(({ subject }) => subject)).to.deep.equal([await scene.activeLayer()]);
  });
});

describe("a snapshot inside the instance's disk", () => {
  it("keeps the name under which QEMU finds it", async () => {
    await using stage = await openStage();
    await using scene = await Scene.open(stage);
    await virsh("snapshot-create-as", scene.name, "inside", "--diskspec", "vdb,snapshot=no");
    const renamed = stage.strata.snapshots.rename({ instance: scene.name, snapshot: "inside" }, "other");
    expect(await codeOf(renamed)).to.equal("UNSUPPORTED");
    await scene.write(5);
    await virsh("snapshot-revert", scene.name, "inside");
    await scene.powerOff();
    expect(await virsh("snapshot-list", scene.name, "--name")).to.equal("inside");
  });
});

describe("the base image that a missing layer stood on", () => {
  it("is not taken for unused", async () => {
    await using stage = await openStage();
    await using scene = await Scene.open(stage);
    await scene.take("a");
    const lowest = (await readHeader(await scene.activeLayer())).backing ?? "";
    const base = (await readHeader(lowest)).backing;
    await rename(lowest, `${lowest}.away`);
    const unused = (await stage.strata.maintenance.audit()).filter(({ kind }) => kind === "base-unused");
    await rename(`${lowest}.away`, lowest);
    expect(unused.map(({ subject }) => subject)).not.to.include(base);
  });
});
