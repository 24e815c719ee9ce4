import { readdir, stat, unlink, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { context, locked, lockOf, newSpec, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../../lib/engine/contract.ts";
import { readLayers } from "../../../plugins/libvirt/layers/layers.ts";
import { layerOf, newPartialPath } from "../../../plugins/libvirt/layers/names.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";
import { done } from "../../support/program.ts";

/** Longest chain that is allowed here: short, so that few snapshots need many keyframes. */
const LENGTH = 8;

describe("read images and keyframes", () => {
  let fixture: LibvirtFixture;
  let instance: Instance;
  const contents = new Map<string, string>();

  before(async () => {
    fixture = await libvirtFixture({ "chain-length": String(LENGTH) });
    instance = await fixture.engine.instances.create(newSpec(fixture), context());
  });
  after(async () => {
    await held(() => fixture.engine.instances.remove(lockOf(instance.id), context()));
    await fixture[Symbol.asyncDispose]();
  });

  const held = <T>(work: () => Promise<T>) => whileLocked(fixture, instance, work);

  /** The file that the head's header names, by name. */
  async function through(): Promise<string> {
    return (await readHeader((await fixture.layers(instance)).activeLayer)).backing ?? "";
  }

  async function opened(): Promise<readonly string[]> {
    const { activeLayer, folder } = await fixture.layers(instance);
    return (await readLayers({ name: instance.name, folder, own: new Map() })).opened(activeLayer);
  }

  async function writeAndTake(name: string, value: number): Promise<void> {
    await fixture.write(instance, value);
    await take(fixture, instance, name);
    contents.set(name, await fixture.read(instance));
  }

  const images = async () =>
    (await readdir((await fixture.layers(instance)).folder)).filter((file) => file.startsWith("image-"));

  it("no chain gets longer than the setting says, however many snapshots are taken", async () => {
    await held(async () => {
      for (let at = 1; at <= 30; at++) {
        await writeAndTake(`s${at}`, at);
        expect((await opened()).length).to.be.at.most(LENGTH);
      }
      await fixture.audit?.(instance);
    });
  });

  it("a head with many snapshots below it reads through one image on the base image", async () => {
    const before = await fixture.read(instance);
    await held(() => fixture.engine.readImages?.build(lockOf(instance.id), context()) ?? Promise.resolve());
    expect(basename(await through())).to.match(/^image-/);
    expect((await opened()).length).to.equal(3);
    expect(await fixture.read(instance)).to.equal(before);
    expect(Number(await fixture.engine.readImages?.size(instance.id))).to.be.greaterThan(0);
    await held(() => fixture.audit?.(instance) ?? Promise.resolve());
  });

  it("the program builds it too, and says what it takes", async () => {
    const { name } = instance;
    expect(await done(["optimize", name])).to.match(
      new RegExp(`^Optimized: ${name} \\(\\d.*kept for reads\\)\n$`),
    );
    const size = await fixture.engine.readImages?.size(instance.id);
    const { info } = JSON.parse(await done(["info", name, "--format", "json"]));
    expect(info[name].read_image_size).to.equal(String(size));
    expect(await done(["info", name])).to.match(/^Read image: +\d/m);
  });

  it("the tree is what it was, for us and for virsh", async () => {
    const { snapshots, standsOn } = await fixture.engine.snapshots.tree(instance.id);
    expect(snapshots.map(({ name }) => name)).to.deep.equal([...contents.keys()]);
    expect(standsOn).to.equal("s30");
    const { stdout } = await execa("virsh", ["snapshot-list", "--topological", "--name", instance.name]);
    expect(stdout.trim().split("\n")).to.deep.equal([...contents.keys()]);
  });

  it("a start brings the image up to date by the newest layers alone", async () => {
    const image = await through();
    const { ino } = await stat(image);
    await held(async () => {
      await writeAndTake("s31", 31);
      await writeAndTake("s32", 32);
      await fixture.engine.instances.start(lockOf(instance.id), context());
      const now = await through();
      expect(now).to.not.equal(image);
      expect(basename(now)).to.match(/^image-/);
      expect((await stat(now)).ino, "the same file, moved on").to.equal(ino);
      expect(await images()).to.deep.equal([basename(now)]);
      await fixture.engine.instances.stop(lockOf(instance.id), "force", context());
      await fixture.audit?.(instance);
    });
  });

  it("virsh starts the domain as it is, and once its image has been lost strata does", async () => {
    await execa("virsh", ["-q", "start", "--paused", instance.name]);
    await held(async () => {
      await fixture.engine.instances.stop(lockOf(instance.id), "force", context());
      const { activeLayer } = await fixture.layers(instance);
      await unlink(await through());
      await fixture.engine.instances.start(lockOf(instance.id), context());
      await fixture.engine.instances.stop(lockOf(instance.id), "force", context());
      expect((await fixture.layers(instance)).activeLayer).to.equal(activeLayer);
      await fixture.audit?.(instance);
    });
  });

  it("what a build that died has left is gone with the next hold, and nothing else", async () => {
    const { folder } = await fixture.layers(instance);
    const partial = newPartialPath(folder);
    await writeFile(partial, "half of an image");
    const before = (await readdir(folder)).filter((file) => file !== basename(partial));
    await held(async () => {});
    expect((await readdir(folder)).sort()).to.deep.equal(before.sort());
  });

  it("an image that was whole but not yet read through when its builder died is used", async () => {
    const image = await through();
    const { activeLayer } = await fixture.layers(instance);
    const { folder } = await fixture.layers(instance);
    await execa("qemu-img", [
      "rebase",
      "-u",
      "-f",
      "qcow2",
      "-b",
      layerOf(folder, image),
      "-F",
      "qcow2",
      activeLayer,
    ]);
    const { ino } = await stat(image);
    await held(() => fixture.engine.readImages?.build(lockOf(instance.id), context()) ?? Promise.resolve());
    expect(await through()).to.equal(image);
    expect((await stat(image)).ino).to.equal(ino);
  });

  it("every snapshot is restorable from chains that short, and deletions leave the others whole", async () => {
    await held(async () => {
      const { snapshots } = fixture.engine;
      for (const [name, expected] of contents) {
        await snapshots.restore(lockOf(instance.id), name, context());
        expect(await fixture.read(instance), name).to.equal(expected);
        expect((await opened()).length, name).to.be.at.most(LENGTH);
      }
      // The layers that keyframes stand in for go, which is what makes gaps.
      const tree = await snapshots.tree(instance.id);
      for (const [at, { name }] of tree.snapshots.entries()) {
        if (at % 3 === 0) {
          continue;
        }
        const now = await snapshots.tree(instance.id);
        const found = now.snapshots.find((each) => each.name === name);
        const children = now.snapshots.filter(({ parent }) => parent === name).map((child) => child.name);
        await snapshots.delete(
          lockOf(instance.id),
          { name, parent: found?.parent ?? null, children },
          context(),
        );
        contents.delete(name);
      }
      await fixture.audit?.(instance);
      for (const [name, expected] of contents) {
        await snapshots.restore(lockOf(instance.id), name, context());
        expect(await fixture.read(instance), name).to.equal(expected);
        expect((await opened()).length, name).to.be.at.most(LENGTH);
      }
      await fixture.audit?.(instance);
    });
  });

  it("turned off, the next start drops the image and the contents stay", async () => {
    await using off = await libvirtFixture({ "chain-length": String(LENGTH), "read-images": "off" });
    const before = await fixture.read(instance);
    await held(() => fixture.engine.readImages?.build(lockOf(instance.id), context()) ?? Promise.resolve());
    expect(await images()).to.have.length(1);
    await using _lock = await locked(off, instance, 5000);
    await off.engine.instances.start(lockOf(instance.id), context());
    await off.engine.instances.stop(lockOf(instance.id), "force", context());
    expect(await images()).to.deep.equal([]);
    expect(await fixture.read(instance)).to.equal(before);
    expect(basename(await through())).to.not.match(/^image-/);
  });
});
