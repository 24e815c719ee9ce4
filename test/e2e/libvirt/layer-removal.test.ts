import { randomUUID } from "node:crypto";
import { copyFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import type { Operation } from "../../../plugins/libvirt/journal/entry.ts";
import { writeJournal } from "../../../plugins/libvirt/journal/journal.ts";
import {
  addPendingRemoval,
  PENDING_REMOVALS,
  stampText,
} from "../../../plugins/libvirt/layers/pending-removals.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { createOverlay } from "../../../plugins/libvirt/qcow2/overlay.ts";
import { DomainXmlFlags } from "../../../plugins/libvirt/rpc/index.ts";
import { exists } from "../../../plugins/libvirt/storage/pool.ts";
import { foreignDomain } from "../../support/libvirt/foreign-domain.ts";
import { sceneForEach } from "../../support/libvirt/scene-hooks.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import type { Scene, Stage } from "../../support/libvirt/virsh-scene.ts";

/** What may go is the file that an operation let go, and none that another hand has put there or written since. */
describe("a layer that an operation which died let go", () => {
  let stage: Stage;
  let scene: Scene;
  sceneForEach((opened, each) => {
    stage = opened;
    scene = each;
  });

  const newPath = () => join(scene.folder, `layer-${randomUUID()}.qcow2`);
  const backingOf = async (path: string) => (await readHeader(path)).backing ?? "";

  /** Puts a file with other contents in the place of a layer. */
  async function replace(path: string): Promise<string> {
    const other = join(stage.fixture.folder, "other.qcow2");
    await copyFile(path, other);
    await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 99 3M 64k", other]);
    await execa("mv", [other, path]);
    return stage.contents.of(path);
  }

  async function change(edit: (xml: string) => string): Promise<void> {
    const { connection } = stage.fixture;
    const domain = await connection.lookupDomainByUuid(scene.instance.id);
    await connection.defineDomain(edit(await domain.getXml(DomainXmlFlags.INACTIVE)));
  }

  async function requireKept(path: string, digest: string): Promise<void> {
    await scene.powerOff();
    await scene.powerOff();
    expect(await exists(path), path).to.equal(true);
    expect(await stage.contents.of(path)).to.equal(digest);
    await scene.requireReadable("after what died was finished");
  }

  describe("in a restore", () => {
    let old: string;
    let operation: Extract<Operation, { kind: "restore" }>;
    beforeEach(async () => {
      await scene.chain(["a"], 2);
      old = await scene.activeLayer();
      operation = { kind: "restore", name: "a", file: newPath(), old, stamp: stampText(old) };
    });

    /** Leaves all as a restore does that dies right after the domain was defined. */
    async function die(entry: Operation): Promise<void> {
      await writeJournal(scene.folder, entry);
      await createOverlay(operation.file, await backingOf(old));
      await change((xml) => xml.replace(old, operation.file));
      scene.expected.activeLayer = scene.expected.snapshots.get("a") ?? "";
    }

    it("is removed by the next", async () => {
      await die(operation);
      await scene.powerOff();
      expect(await exists(old)).to.equal(false);
      await scene.requireReadable("after the restore was finished");
    });

    it("is kept once another file is in its place", async () => {
      await die(operation);
      await requireKept(old, await replace(old));
    });

    it("is kept once it was written", async () => {
      await die(operation);
      await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 98 3M 64k", old]);
      await requireKept(old, await stage.contents.of(old));
    });

    it("is kept where an entry of an earlier version does not say which file it was", async () => {
      const { stamp: _, ...earlier } = operation;
      await die(earlier);
      await requireKept(old, await stage.contents.of(old));
    });
  });

  describe("in a deletion", () => {
    let layer: string;
    let operation: Extract<Operation, { kind: "delete" }>;
    beforeEach(async () => {
      await scene.chain(["a", "b"], 2);
      layer = await backingOf(await scene.activeLayer());
      await scene.restore("a");
      scene.expected.snapshots.delete("b");
      operation = { kind: "delete", name: "b", layer, stamp: stampText(layer) };
    });

    it("is removed by the next", async () => {
      await writeJournal(scene.folder, operation);
      await scene.powerOff();
      expect(await exists(layer)).to.equal(false);
      await scene.requireReadable("after the deletion was finished");
    });

    it("is kept once another file is in its place, and the snapshot is deleted", async () => {
      await writeJournal(scene.folder, operation);
      await requireKept(layer, await replace(layer));
      expect(await virsh("snapshot-list", scene.name, "--name")).to.equal("a");
    });

    it("is kept where an entry of an earlier version does not say which file it was", async () => {
      const { stamp: _, ...earlier } = operation;
      await writeJournal(scene.folder, earlier);
      await requireKept(layer, await stage.contents.of(layer));
    });

    it("is removed also then, if it was released before", async () => {
      const { stamp: _, ...earlier } = operation;
      await writeJournal(scene.folder, earlier);
      await addPendingRemoval(layer);
      await scene.powerOff();
      expect(await exists(layer)).to.equal(false);
    });
  });

  describe("in a take that libvirt did not record, before the guest wrote on", () => {
    let frozen: string;
    let overlay: string;
    beforeEach(async () => {
      await scene.chain(["a"], 2);
      frozen = await scene.activeLayer();
      overlay = newPath();
    });

    async function die(note: Readonly<Record<string, string>>): Promise<void> {
      await createOverlay(overlay, frozen);
      const named = { "created-at": "1", frozen, overlay, name: "b", taken: "2", ...note };
      const attributes = Object.entries(named).map(([key, value]) => `${key}="${value}"`);
      await change((xml) =>
        xml
          .replace("</strata:instance>", `<strata:snapshot ${attributes.join(" ")}/></strata:instance>`)
          .replace(`<source file='${frozen}'`, `<source file='${overlay}'`),
      );
      await scene.write(20);
    }

    it("becomes one with what was written since", async () => {
      await die({ stamp: stampText(frozen) });
      await scene.powerOff();
      expect(await backingOf(await scene.activeLayer())).not.to.equal(frozen);
      await scene.requireReadable("after the take was undone");
    });

    it("is kept once another file is in its place", async () => {
      await die({ stamp: stampText(frozen) });
      const digest = await replace(frozen);
      scene.expected.activeLayer = await scene.readActiveLayer();
      await requireKept(frozen, digest);
    });

    it("is kept where a note of an earlier version does not say which file it was", async () => {
      await die({});
      await requireKept(frozen, await stage.contents.of(frozen));
    });
  });

  it("in a merge: what took the place of the other layer is kept", async () => {
    await scene.chain(["a"], 2);
    const [layer, child] = [newPath(), newPath()];
    const target = await backingOf(await scene.activeLayer());
    await createOverlay(layer, target);
    await createOverlay(child, layer);
    await addPendingRemoval(layer);
    await addPendingRemoval(child);
    // All of the layer is in the child; its file is gone, and that has not been noted yet.
    await writeJournal(scene.folder, { kind: "merge", layer, child, target });
    await execa("qemu-img", ["rebase", "-f", "qcow2", "-F", "qcow2", "-b", target, child]);
    await rm(layer);
    await requireKept(child, await replace(child));
  });

  it("in a merge: a layer that has the other's place is removed with it", async () => {
    await scene.chain(["a"], 2);
    const [layer, child] = [newPath(), newPath()];
    const target = await backingOf(await scene.activeLayer());
    await createOverlay(layer, target);
    await createOverlay(child, layer);
    await addPendingRemoval(layer);
    await addPendingRemoval(child);
    await writeJournal(scene.folder, { kind: "merge", layer, child, target });
    await rename(layer, child);
    await scene.powerOff();
    expect(await exists(child)).to.equal(false);
    await scene.requireReadable("after the merge was finished");
  });

  it("is none that lies elsewhere: nothing is written beside the disk of an adopted domain", async () => {
    const { fixture, strata } = stage;
    await using foreign = await foreignDomain(fixture.connection, fixture.folder);
    await writeFile(join(fixture.folder, "theirs"), "");
    const before = await readdir(dirname(foreign.disk));
    await strata.instances.adopt(foreign.name);
    await strata.snapshots.take(foreign.name, { name: "a" });
    await strata.delete([{ instance: foreign.name, snapshot: "a" }]);
    expect(await readdir(dirname(foreign.disk))).to.deep.equal(before);
    expect(before).not.to.include(PENDING_REMOVALS);
    await strata.instances.release(foreign.name);
  });
});
