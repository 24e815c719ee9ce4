import { readdir, stat, statfs } from "node:fs/promises";
import { basename } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { cloneSpec } from "../../../lib/engine/conformance/clone.ts";
import { context, lockOf, newSpec, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../../lib/engine/contract.ts";
import { readLayers } from "../../../plugins/libvirt/layers/layers.ts";
import { type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";
import { type PrivateDaemon, privateDaemon } from "../../support/libvirt/private-daemon.ts";

const MIB = 1024 ** 2;
/** What the lowest layer holds, MiB; those above hold a cluster or two each. */
const HELD = 64;
/** More than a start copies, and than an image may take by the setting here, MiB. */
const MUCH = 1200;

for (const kind of ["xfs", "ext4"] as const) {
  describe(`read images and keyframes on ${kind}`, () => {
    /** Whether files share blocks there. */
    const shares = kind === "xfs";
    let daemon: PrivateDaemon;
    let fixture: LibvirtFixture;
    let instance: Instance;

    before(async () => {
      daemon = await privateDaemon({ kind, size: 4096 * MIB });
      fixture = await libvirtFixture({ uri: daemon.uri, "chain-length": "10", "read-image-size": "1" });
      const resources = { cpus: 1, memory: 128n * 1024n ** 2n, disk: 256n * 1024n ** 2n };
      instance = await fixture.engine.instances.create(newSpec(fixture, { resources }), context());
      const { activeLayer: lowest } = await fixture.layers(instance);
      await execa("qemu-io", ["-f", "qcow2", "-c", `write -P 255 0 ${HELD}M`, lowest]);
      await grow(lowest);
      await locked(async () => {
        for (let at = 1; at <= 7; at++) {
          await take(fixture, instance, `s${at}`);
          await fixture.write(instance, at);
        }
      });
    });
    after(async () => {
      await fixture[Symbol.asyncDispose]();
      await daemon[Symbol.asyncDispose]();
    });

    const locked = <T>(work: () => Promise<T>) => whileLocked(fixture, instance, work);

    /** MiB of the file system that are taken. */
    async function taken(): Promise<number> {
      await execa("sync", ["-f", daemon.disk]);
      const { blocks, bavail, bsize } = await statfs(daemon.disk);
      return ((blocks - bavail) * bsize) / MIB;
    }

    /** The kinds of the flattened copies that exist. */
    async function flattened(): Promise<string[]> {
      const { folder } = await fixture.layers(instance);
      return (await readdir(folder)).flatMap((file) => /^(?:image|frame)/.exec(file) ?? []).sort();
    }

    /** The files that QEMU opens for the disk. */
    async function opened(): Promise<readonly string[]> {
      const { activeLayer, folder } = await fixture.layers(instance);
      return (await readLayers({ name: instance.name, folder, own: new Map() })).opened(activeLayer);
    }

    async function startAndStop(): Promise<void> {
      await fixture.engine.instances.start(lockOf(instance.id), context());
      await fixture.engine.instances.stop(lockOf(instance.id), "force", context());
    }

    /** Has a file take more room than there is data in it. */
    const grow = (path: string) => execa("fallocate", ["--keep-size", "--length", `${MUCH}M`, path]);

    /** Runs a callback that leaves all contents as they are; resolves to the MiB that it took. */
    async function keeping(work: () => Promise<unknown>): Promise<number> {
      const contents = await fixture.read(instance);
      const before = await taken();
      await locked(work);
      const took = (await taken()) - before;
      expect(await fixture.read(instance)).to.equal(contents);
      // Compares every flattened copy with its layer.
      await locked(async () => fixture.audit?.(instance));
      return took;
    }

    it(
      shares ? "share the blocks of a layer that a start would not copy" : "leave it to optimize",
      async () => {
        const took = await keeping(startAndStop);
        expect(took).to.be.below(HELD / 4);
        expect(await flattened()).to.deep.equal(shares ? ["frame", "image"] : []);
        expect(await opened()).to.have.length(shares ? 3 : 9);
      },
    );

    it(shares ? "are there when optimize comes" : "are copies then", async () => {
      const took = await keeping(async () =>
        fixture.engine.readImages?.build(lockOf(instance.id), context()),
      );
      if (shares) {
        expect(took).to.be.below(1);
      } else {
        expect(took).to.be.above(2 * HELD);
      }
      expect(await flattened()).to.deep.equal(["frame", "image"]);
      expect(await opened()).to.have.length(3);
    });

    it(shares ? "make a clone share its blocks too" : "leave a clone to be a copy", async () => {
      const contents = await fixture.read(instance);
      let copy: Instance | undefined;
      const took = await keeping(async () => {
        copy = await fixture.engine.instances.clone?.(lockOf(instance.id), cloneSpec(instance), context());
      });
      if (copy === undefined) {
        throw new Error("no clone");
      }
      if (shares) {
        expect(took).to.be.below(2);
      } else {
        expect(took).to.be.above(HELD);
      }
      const { activeLayer } = await fixture.layers(copy);
      expect((await execa("qemu-img", ["check", "-q", activeLayer])).exitCode).to.equal(0);
      expect(await fixture.read(copy)).to.equal(contents);
      await fixture.write(copy, 99);
      expect(await fixture.read(instance)).to.equal(contents);
    });

    it("move on, however much of an image is shared: no more than its setting says if nothing is", async () => {
      const [, image = ""] = await opened();
      await grow(image);
      const { ino } = await stat(image);
      await locked(async () => {
        await take(fixture, instance, "s8");
        await fixture.write(instance, 9);
      });
      expect(await keeping(startAndStop)).to.be.below(HELD / 4);
      const [, now = ""] = await opened();
      expect(basename(now).startsWith("image-")).to.equal(shares);
      expect((await stat(now)).ino === ino).to.equal(shares);
    });
  });
}
