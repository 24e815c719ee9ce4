import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { context, lockOf, newSpec, take } from "../../../lib/engine/conformance/fixture.ts";
import { libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";

describe("what the files of an instance on libvirt take", () => {
  it("is told by what they are for", async () => {
    await using fixture = await libvirtFixture();
    const { engine } = fixture;
    const instance = await engine.instances.create(newSpec(fixture), context());
    const held = <T>(work: () => Promise<T>) => whileLocked(fixture, instance, work);
    try {
      const { folder } = await fixture.layers(instance);
      const blocks = async (path: string) => (await stat(path, { bigint: true })).blocks * 512n;
      const usage = async () => {
        const { instances, images, folders } = (await engine.storage?.()) ?? {};
        return { own: instances?.find(({ id }) => id === instance.id), images, folders };
      };
      const fresh = await usage();
      expect(fresh.own?.snapshots).to.equal(0n);
      expect(fresh.own?.active).to.equal(await blocks((await fixture.layers(instance)).activeLayer));
      expect(fresh.images?.map(({ sha256 }) => sha256)).to.include(fixture.image.sha256);
      expect(folder.startsWith(`${fresh.folders?.[0]}/`)).to.equal(true);

      const frozen = (await fixture.layers(instance)).activeLayer;
      await held(async () => {
        await fixture.write(instance, 7);
        await take(fixture, instance, "one");
      });
      const taken = await usage();
      expect(taken.own?.snapshots).to.equal(await blocks(frozen));
      expect(taken.own?.active).to.equal(await blocks((await fixture.layers(instance)).activeLayer));

      await writeFile(join(folder, "cdrom.iso"), Buffer.alloc(65_536, 1));
      const { own } = await usage();
      expect(own?.other).to.equal((taken.own?.other ?? 0n) + (await blocks(join(folder, "cdrom.iso"))));
      expect(own?.snapshots).to.equal(taken.own?.snapshots);
      await held(() => engine.readImages?.build(lockOf(instance.id), context()) ?? Promise.resolve());
      expect((await usage()).own?.flattened).to.equal(await engine.readImages?.size(instance.id));
    } finally {
      await held(() => engine.instances.remove(lockOf(instance.id), context()));
    }
  });

  it("is told of all its disks", async () => {
    await using fixture = await libvirtFixture();
    const { engine } = fixture;
    const instance = await engine.instances.create(newSpec(fixture), context());
    const held = <T>(work: () => Promise<T>) => whileLocked(fixture, instance, work);
    try {
      const { folder } = await fixture.layers(instance);
      const layers = async () => (await readdir(folder)).filter((file) => file.endsWith(".qcow2"));
      const sizeOf = async (files: readonly string[]) => {
        const all = await Promise.all(files.map((file) => stat(join(folder, file), { bigint: true })));
        return all.reduce((sum, { blocks }) => sum + blocks * 512n, 0n);
      };
      const parts = async () => {
        const { instances } = (await engine.storage?.()) ?? {};
        const { active, snapshots } = instances?.find(({ id }) => id === instance.id) ?? {};
        return { active, snapshots };
      };
      const further = await held(async () =>
        engine.disks?.add(lockOf(instance.id), 64n * 1024n ** 2n, context()),
      );
      await held(() => fixture.write(instance, 3, further?.name));
      const frozen = await layers();
      expect(frozen).to.have.length(2);
      expect(await parts()).to.deep.equal({ active: await sizeOf(frozen), snapshots: 0n });
      await held(() => take(fixture, instance, "one"));
      const active = (await layers()).filter((file) => !frozen.includes(file));
      expect(active).to.have.length(2);
      expect(await parts()).to.deep.equal({ active: await sizeOf(active), snapshots: await sizeOf(frozen) });
    } finally {
      await held(() => engine.instances.remove(lockOf(instance.id), context()));
    }
  });
});
