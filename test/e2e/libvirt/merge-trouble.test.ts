import { once } from "node:events";
import { readdir, stat } from "node:fs/promises";
import { expect } from "chai";
import { execa } from "execa";
import { context, lockOf, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../../lib/engine/contract.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import type { LibvirtFixture } from "../../support/libvirt/fixture.ts";
import { type TroubledInstance, troubledForEach } from "../../support/libvirt/troubled-instance.ts";

describe("a merge in trouble on libvirt", () => {
  let troubled: TroubledInstance;
  let fixture: LibvirtFixture;
  let instance: Instance;
  troubledForEach((each) => {
    troubled = each;
    ({ fixture, instance } = each);
  });

  /** Fills the start of the disk. Flushed, so that it takes its room: which layer is the smaller goes by that. */
  const write = async (value: number, mib: number) => {
    const commands = ["-c", `write -P ${value} 0 ${mib}M`, "-c", "flush"];
    await execa("qemu-io", ["-f", "qcow2", ...commands, (await fixture.layers(instance)).activeLayer]);
  };

  it("a merge that was killed after the pointer was switched is done again from the start", async () => {
    // As a killed rebase leaves it: the child points past the layer, whose data it has not copied.
    await troubled.take("first", 9);
    await troubled.take("second", 17);
    const contents = await fixture.read(instance);
    const { activeLayer, folder } = await fixture.layers(instance);
    const { stdout } = await execa("qemu-img", ["info", "--output=json", activeLayer]);
    const layer: string = JSON.parse(stdout)["full-backing-filename"];
    const target: string = JSON.parse((await execa("qemu-img", ["info", "--output=json", layer])).stdout)[
      "full-backing-filename"
    ];
    await troubled.note(
      `<operation kind="merge" layer="${layer}" child="${activeLayer}" target="${target}"/>`,
    );
    await troubled.forgetSnapshot("second");
    await execa("qemu-img", ["rebase", "-u", "-f", "qcow2", "-b", target, "-F", "qcow2", activeLayer]);
    expect(await fixture.read(instance), "the damage is real").not.to.equal(contents);
    await troubled.held(async () => {});
    expect(await fixture.read(instance)).to.equal(contents);
    expect(await readdir(folder)).not.to.include(layer.slice(folder.length + 1));
  });

  for (const [which, below, above] of [
    ["the layer below, where that holds less", 1, 6],
    ["the layer above, where that holds less", 6, 1],
  ] as const) {
    /** Makes two layers of these sizes, MiB, with the snapshot "merged" between them. */
    const prepare = async () => {
      await troubled.take("first", 9);
      await write(60, below);
      await troubled.held(() => take(fixture, instance, "merged"));
      await write(61, above);
      const { activeLayer, folder } = await fixture.layers(instance);
      const layer = (await readHeader(activeLayer)).backing ?? "";
      const files = { below: (await stat(layer)).ino, above: (await stat(activeLayer)).ino };
      return { activeLayer, folder, layer, contents: await fixture.read(instance), files };
    };
    const requireMerged = async ({
      activeLayer,
      folder,
      layer,
      contents,
      files,
    }: Awaited<ReturnType<typeof prepare>>) => {
      expect((await stat(activeLayer)).ino).to.equal(below < above ? files.above : files.below);
      expect(await fixture.read(instance)).to.equal(contents);
      expect(await readdir(folder)).not.to.include(layer.slice(folder.length + 1));
      expect((await fixture.engine.snapshots.tree(instance.id)).standsOn).to.equal("first");
      await troubled.held(async () => fixture.audit?.(instance));
    };

    it(`a deletion copies ${which}`, async () => {
      const before = await prepare();
      await troubled.delete("merged", "first");
      await requireMerged(before);
    });

    it(`a deletion that died after it had copied ${which} is finished`, async () => {
      const before = await prepare();
      const { activeLayer, layer } = before;
      const target = (await readHeader(layer)).backing ?? "";
      await troubled.note(
        `<operation kind="merge" layer="${layer}" child="${activeLayer}" target="${target}"/>`,
      );
      await troubled.forgetSnapshot("merged");
      await execa(
        "qemu-img",
        above < below
          ? ["commit", "-q", "-d", "-f", "qcow2", activeLayer]
          : ["rebase", "-q", "-f", "qcow2", "-b", target, "-F", "qcow2", activeLayer],
      );
      await troubled.held(async () => {});
      await requireMerged(before);
    });
  }

  it("a merge that cannot be done leaves the layer, loses nothing, and is done when it can be", async () => {
    await troubled.take("first", 9);
    await troubled.take("lower", 49);
    await troubled.take("upper", 50);
    await troubled.held(() => fixture.write(instance, 51));
    const contents = await fixture.read(instance);
    const { activeLayer, folder } = await fixture.layers(instance);
    // What qemu-img cannot open for writing it cannot merge into: another process has the child locked.
    const server = execa("qemu-io", ["-f", "qcow2", activeLayer], { reject: false, buffer: false });
    await once(server.stdout, "data");
    const layers = async () => (await readdir(folder)).filter((file) => file.endsWith(".qcow2")).length;
    const before = await layers();
    await troubled.delete("upper", "lower").catch(() => {});
    server.kill("SIGKILL");
    await server;
    expect(await fixture.read(instance)).to.equal(contents);
    await troubled.held(async () => {
      await fixture.engine.instances.stop(lockOf(instance.id), "force", context());
    });
    expect(await fixture.read(instance)).to.equal(contents);
    expect(await layers()).to.equal(before - 1);
    await troubled.delete("lower", "first");
    await troubled.held(async () => fixture.audit?.(instance));
  });
});
