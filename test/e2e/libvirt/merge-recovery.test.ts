import { existsSync } from "node:fs";
import { link, mkdir, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import type { Finding } from "../../../lib/backend/contract.ts";
import { JOURNAL } from "../../../plugins/libvirt/journal/journal.ts";
import { replacedPath } from "../../../plugins/libvirt/layers/layers.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { RECORDS } from "../../../plugins/libvirt/snapshots/record-copies.ts";
import { fileVersion } from "../../../plugins/libvirt/storage/file-version.ts";
import { codeOf } from "../../support/libvirt/fixture.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import { openStage, Scene, type Stage } from "../../support/libvirt/virsh-scene.ts";

/** Where the mark 3 of a scene lies, and nothing else: a whole cluster. */
const CLUSTER = "576k 64k";

/** Layers are merged by their rules also after somebody died, whatever other hands did in between. */
describe("the merge of layers", () => {
  let stage: Stage;
  let scene: Scene;
  before(async () => {
    stage = await openStage();
  });
  beforeEach(async () => {
    scene = await Scene.open(stage);
  });
  afterEach(() => scene[Symbol.asyncDispose]());
  after(() => stage[Symbol.asyncDispose]());

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
    const child = await scene.head();
    const layer = await backingOf(child);
    const merge = { kind: "merge", layer, child, target: await backingOf(layer) };
    await virsh("snapshot-delete", scene.name, snapshot, "--metadata");
    for (const file of await readdir(join(scene.folder, RECORDS)))
      if (file.startsWith(`${snapshot}.`)) await rm(join(scene.folder, RECORDS, file));
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
      scene.expected.head = await scene.readHead();
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
      scene.expected.head = await scene.readHead();
      await scene.take("c");
      await scene.requireReadable("after the next change");
      expect(existsSync(kept)).to.equal(false);
    });

    it("keeps both files where two guests have written, and says so", async () => {
      await overwrite(child, 77);
      await overwrite(kept, 78);
      scene.expected.head = await scene.readHead();
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
    const disk = scene.expected.head;
    await scene.write(3);
    const { layer, child } = await beginMerge("b");
    scene.expected.kept.add(scene.expected.head);
    scene.expected.head = disk;
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
    const head = await scene.head();
    await writeFile(
      join(scene.folder, "journal-1.json"),
      JSON.stringify({ version: 1, operation: { kind: "merge", layer: "/l", child: head, target: "" } }),
    );
    const layer = await backingOf(head);
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
      hidden = await backingOf(await backingOf(await scene.head()));
      await drop("a");
    });

    it("changes nothing below one that is missing and that no snapshot names", async () => {
      await scene.restore("z");
      await scene.write(11);
      const below = await backingOf(await scene.head());
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

describe("a record that libvirt has lost, and its layer", () => {
  it("comes back with the layer, which something stands on", async () => {
    await using stage = await openStage();
    await using scene = await Scene.open(stage);
    await scene.chain(["a", "b"], 2);
    const layer = (await readHeader(await scene.head())).backing ?? "";
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
    for (const snapshot of ["b", "a"]) await virsh("snapshot-delete", scene.name, snapshot, "--metadata");
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
    expect(found.map(({ subject }) => subject)).to.deep.equal([await scene.head()]);
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
    const lowest = (await readHeader(await scene.head())).backing ?? "";
    const base = (await readHeader(lowest)).backing;
    await rename(lowest, `${lowest}.away`);
    const unused = (await stage.strata.maintenance.audit()).filter(({ kind }) => kind === "base-unused");
    await rename(`${lowest}.away`, lowest);
    expect(unused.map(({ subject }) => subject)).not.to.include(base);
  });
});

describe("a take that was interrupted", () => {
  let stage: Stage;
  let scene: Scene;
  let overlay: string;
  before(async () => {
    stage = await openStage();
  });
  beforeEach(async () => {
    scene = await Scene.open(stage);
    await scene.take("a");
    const head = await scene.head();
    overlay = join(scene.folder, "layer-00000000-0000-4000-8000-000000000000.qcow2");
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", head, "-F", "qcow2", overlay]);
    await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 1 0 64k", overlay]);
    const domain = await stage.fixture.connection.lookupDomainByUuid(scene.instance.id);
    const xml = await domain.getMetadata(2, "urn:strata:1", 2);
    const inner = xml?.replace(/ xmlns:strata="[^"]*"/, "").replaceAll("strata:", "") ?? "";
    const taking = `<snapshot name="half" overlay="${overlay}" frozen="${head}" taken="2" created-at="1"/>`;
    await domain.setMetadata(2, inner.replace("<image", `${taking}<image`), "strata", "urn:strata:1", 2);
  });
  afterEach(() => scene[Symbol.asyncDispose]());
  after(() => stage[Symbol.asyncDispose]());

  it("is given up when finishing it was refused twice, and keeps nobody from changes", async () => {
    // It says that reading it takes what no QEMU knows.
    {
      await using file = await open(overlay, "r+");
      await file.write(Buffer.from([0x40]), 0, 1, 72);
    }
    expect(await codeOf(scene.restore("a"))).to.equal("PROGRAM_FAILED");
    await scene.restore("a");
    expect(existsSync(overlay)).to.equal(true);
    await scene.requireUsable();
  });

  it("does not take its overlay for an empty one because its tables were cut off", async () => {
    await execa("truncate", ["-s", "196608", overlay]);
    await scene.restore("a");
    expect(existsSync(overlay)).to.equal(true);
    await scene.requireUsable();
  });
});
