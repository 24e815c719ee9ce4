import { stat, writeFile } from "node:fs/promises";
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
});
