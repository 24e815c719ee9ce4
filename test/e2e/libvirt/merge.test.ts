import { stat } from "node:fs/promises";
import { expect } from "chai";
import { execa } from "execa";
import { context, lockOf, MIB, take, withInstance } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../../lib/engine/contract.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { type LibvirtFixture, libvirtFixture } from "../../support/libvirt/fixture.ts";
import { dropSnapshot } from "../../support/snapshots.ts";

const TIB = 1024n ** 4n;

/** A deletion where one of the two layers holds nothing has nothing to copy, however large the disk is. */
describe("a deletion with nothing to copy", () => {
  let fixture: LibvirtFixture;

  before(async () => {
    fixture = await libvirtFixture();
  });

  after(async () => {
    await fixture[Symbol.asyncDispose]();
  });

  const activeLayerOf = async (instance: Instance) => (await fixture.layers(instance)).activeLayer;
  const inodeOf = async (path: string) => (await stat(path)).ino;
  const write = async (path: string, value: number) =>
    void (await execa("qemu-io", ["-f", "qcow2", "-c", `write -P ${value} 0 64k`, path]));
  const holds = async (path: string, value: number) => {
    const { stdout } = await execa("qemu-io", ["-f", "qcow2", "-c", `read -P ${value} 0 64k`, path]);
    expect(stdout).not.to.match(/failed/i);
    await execa("qemu-img", ["check", "-q", path]);
  };
  const large = { resources: { cpus: 1, memory: 256n * MIB, disk: TIB } };

  it("gives the layer the head's place, when nothing was written since", () =>
    withInstance(
      fixture,
      async (instance) => {
        await write(await activeLayerOf(instance), 1);
        await take(fixture, instance, "below");
        await write(await activeLayerOf(instance), 2);
        const layer = await activeLayerOf(instance);
        const written = await inodeOf(layer);
        await take(fixture, instance, "newest");
        await dropSnapshot(fixture, instance, "newest");
        const activeLayer = await activeLayerOf(instance);
        expect(activeLayer).not.to.equal(layer);
        expect(await inodeOf(activeLayer)).to.equal(written);
        await holds(activeLayer, 2);
        await fixture.engine.snapshots.restore(lockOf(instance.id), "below", context());
        await holds(await activeLayerOf(instance), 1);
        await fixture.audit?.(instance);
      },
      large,
    ));

  it("passes over a layer in the middle that holds nothing", () =>
    withInstance(
      fixture,
      async (instance) => {
        await write(await activeLayerOf(instance), 1);
        const first = await activeLayerOf(instance);
        await take(fixture, instance, "first");
        await take(fixture, instance, "same");
        await write(await activeLayerOf(instance), 3);
        const third = await activeLayerOf(instance);
        const written = await inodeOf(third);
        await take(fixture, instance, "third");
        await dropSnapshot(fixture, instance, "same");
        expect(await inodeOf(third)).to.equal(written);
        expect((await readHeader(third)).backing).to.equal(first);
        await holds(await activeLayerOf(instance), 3);
        await fixture.engine.snapshots.restore(lockOf(instance.id), "first", context());
        await holds(await activeLayerOf(instance), 1);
        await fixture.audit?.(instance);
      },
      large,
    ));

  it("keeps the size of a disk that has only grown since", () =>
    withInstance(fixture, async (instance) => {
      await write(await activeLayerOf(instance), 1);
      await take(fixture, instance, "small");
      const { resources } = instance;
      await fixture.engine.instances.resize(lockOf(instance.id), { disk: 4n * resources.disk }, context());
      await dropSnapshot(fixture, instance, "small");
      const activeLayer = await activeLayerOf(instance);
      expect((await readHeader(activeLayer)).virtualSize).to.equal(4n * resources.disk);
      await holds(activeLayer, 1);
      await fixture.audit?.(instance);
    }));
});
