import { execFileSync } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { context, lockOf, newSpec, take, withInstance } from "../../../lib/engine/conformance/fixture.ts";
import type { Context, Instance, Mount } from "../../../lib/engine/contract.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { codeOf, type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";
import { dropSnapshot } from "../../support/snapshots.ts";

/** What others do with virsh between two steps of ours, and what a power cut leaves of one step only. */
describe("what happens meanwhile", () => {
  let fixture: LibvirtFixture;
  let elsewhere: string;

  before(async () => {
    fixture = await libvirtFixture();
    elsewhere = await mkdtemp(join(tmpdir(), "strata-elsewhere-"));
    await chmod(elsewhere, 0o755);
  });

  after(async () => {
    await fixture[Symbol.asyncDispose]();
    await rm(elsewhere, { recursive: true, force: true });
  });

  const virsh = async (...args: readonly string[]) => (await execa("virsh", ["-q", ...args])).stdout;
  const activeLayerOf = async (instance: Instance) => (await fixture.layers(instance)).activeLayer;

  /** Defines the domain as it is, with a change to its text. */
  async function redefine({ name }: Instance, change: (xml: string) => string): Promise<void> {
    const xml = await virsh("dumpxml", "--inactive", name);
    const file = join(elsewhere, `${name}.xml`);
    await writeFile(file, change(xml));
    await virsh("define", file);
  }

  /** Leaves the note of an operation that died. */
  const leaveNote = (instance: Instance, note: string) =>
    redefine(instance, (xml) => xml.replace("</strata:instance>", `${note}</strata:instance>`));

  const restore = (instance: Instance, name: string, given: Context = context()) =>
    fixture.engine.snapshots.restore(lockOf(instance.id), name, given);

  describe("an overlay that virsh made in another folder", () => {
    async function prepare(instance: Instance): Promise<string> {
      await fixture.write(instance, 1);
      await take(fixture, instance, "root");
      await fixture.write(instance, 2);
      const spec = `vda,snapshot=external,file=${join(elsewhere, `${instance.name}.qcow2`)}`;
      await virsh("snapshot-create-as", instance.name, "mine", "--disk-only", "--diskspec", spec);
      await fixture.write(instance, 3);
      await take(fixture, instance, "later");
      const contents = await fixture.read(instance);
      await fixture.write(instance, 4);
      return contents;
    }

    it("keeps the layer that it stands on when that one's snapshot is deleted", () =>
      withInstance(fixture, async (instance) => {
        const contents = await prepare(instance);
        await restore(instance, "root");
        await dropSnapshot(fixture, instance, "mine");
        await restore(instance, "later");
        expect(await fixture.read(instance)).to.equal(contents);
      }));

    it("keeps it also when a restore takes away the last layer beside it", () =>
      withInstance(fixture, async (instance) => {
        const contents = await prepare(instance);
        await restore(instance, "mine");
        await fixture.write(instance, 5);
        await dropSnapshot(fixture, instance, "mine");
        await restore(instance, "root");
        await restore(instance, "later");
        expect(await fixture.read(instance)).to.equal(contents);
      }));
  });

  it("a definition of before a snapshot: neither started nor snapshotted, and mended by a restore", () =>
    withInstance(fixture, async (instance) => {
      await fixture.write(instance, 1);
      const contents = await fixture.read(instance);
      const old = await virsh("dumpxml", "--inactive", instance.name);
      await take(fixture, instance, "a");
      await redefine(instance, () => old);
      const { instances } = fixture.engine;
      expect(await codeOf(instances.start(lockOf(instance.id), context()))).to.equal("RECORDS_DIFFER");
      expect(await codeOf(take(fixture, instance, "b"))).to.equal("RECORDS_DIFFER");
      expect(await virsh("domstate", instance.name)).to.equal("shut off");
      await restore(instance, "a");
      expect(await fixture.read(instance)).to.equal(contents);
      expect(await codeOf(take(fixture, instance, "b"))).to.equal("nothing");
    }));

  it("a power cut that left the record of a snapshot and not the new definition: the domain goes on on its overlay", async () => {
    const instance = await create();
    await whileLocked(fixture, instance, () => take(fixture, instance, "a"));
    const overlay = await activeLayerOf(instance);
    const { backing } = await readHeader(overlay);
    await redefine(instance, (xml) => xml.replaceAll(overlay, backing ?? ""));
    await leaveNote(
      instance,
      `<strata:operation kind="take" name="a" file="${overlay}" taken="1" parent=""/><strata:snapshot created-at="1" frozen="${backing}"/>`,
    );
    const found = (await fixture.engine.maintenance?.audit()) ?? [];
    expect(found.filter((each) => each.instance === instance.name).map(({ kind }) => kind)).to.deep.equal([
      "operation-unfinished",
    ]);
    await whileLocked(fixture, instance, async () => {});
    expect(await activeLayerOf(instance)).to.equal(overlay);
    await remove(instance);
  });

  it("doctor names a disk that a snapshot froze", async () => {
    const instance = await create();
    const old = await virsh("dumpxml", "--inactive", instance.name);
    await whileLocked(fixture, instance, () => take(fixture, instance, "a"));
    await redefine(instance, () => old);
    const found = (await fixture.engine.maintenance?.audit()) ?? [];
    expect(found.filter((each) => each.instance === instance.name).map(({ kind }) => kind)).to.include(
      "active-layer-frozen",
    );
    await remove(instance);
  });

  it("a resize that died and a guest started with virsh: it can be stopped, and the disk grows then", async () => {
    const instance = await create();
    const size = 4n * instance.resources.disk;
    await leaveNote(instance, `<strata:operation kind="resize" disk="${size}"/>`);
    await virsh("start", "--paused", instance.name);
    await whileLocked(fixture, instance, () =>
      fixture.engine.instances.stop(lockOf(instance.id), "force", context()),
    );
    expect(await virsh("domstate", instance.name)).to.equal("shut off");
    expect((await readHeader(await activeLayerOf(instance))).virtualSize).to.equal(size);
    await remove(instance);
  });

  it("a take that died once the disk was switched, and memory saved since: it starts with both", async () => {
    const instance = await create();
    await whileLocked(fixture, instance, () => take(fixture, instance, "a"));
    const overlay = await activeLayerOf(instance);
    await virsh("snapshot-delete", instance.name, "a", "--metadata");
    await leaveNote(
      instance,
      `<strata:operation kind="take" name="a" file="${overlay}" taken="1" parent=""/>`,
    );
    await virsh("start", "--paused", instance.name);
    await virsh("managedsave", instance.name);
    await whileLocked(fixture, instance, async () => {});
    expect(await activeLayerOf(instance)).to.equal(overlay);
    await virsh("start", "--paused", instance.name);
    await virsh("destroy", instance.name);
    await remove(instance);
  });

  it("a guest started while a restore prepares: the restore is refused, and the guest keeps its disk", () =>
    withInstance(fixture, async (instance) => {
      await take(fixture, instance, "a");
      await fixture.write(instance, 1);
      const activeLayer = await activeLayerOf(instance);
      let looks = 0;
      const given: Context = {
        ...context(),
        // Asked for once the state has been looked at, and again before anything is written.
        get signal() {
          if (++looks === 1) {
            execFileSync("virsh", ["-q", "start", "--paused", instance.name]);
          }
          return new AbortController().signal;
        },
      };
      expect(await codeOf(restore(instance, "a", given))).to.equal("WRONG_STATE");
      expect(looks).to.be.above(0);
      expect(await virsh("domblklist", instance.name)).to.include(activeLayer);
      await virsh("destroy", instance.name);
      expect(await activeLayerOf(instance)).to.equal(activeLayer);
      await fixture.audit?.(instance);
    }));

  it("a snapshot taken with virsh while a start prepares: the guest writes the overlay of it", async () => {
    const source = await mkdtemp(join(tmpdir(), "strata-source-"));
    const mount: Mount = { source, target: "/data", type: "native", uidMap: [], gidMap: [] };
    await withInstance(
      fixture,
      async (instance) => {
        for (const value of [1, 2, 3, 4, 5]) {
          await fixture.write(instance, value);
          await take(fixture, instance, `s${value}`);
        }
        await fixture.write(instance, 6);
        const frozen = await activeLayerOf(instance);
        // Its device is left out, so that a start defines the domain anew.
        await rm(source, { recursive: true });
        let taken = false;
        const given: Context = {
          ...context(),
          progress({ phase }) {
            if (!phase.startsWith("Building ") || taken) {
              return;
            }
            taken = true;
            execFileSync("virsh", ["-q", "snapshot-create-as", instance.name, "theirs", "--disk-only"]);
          },
        };
        await fixture.engine.instances.start(lockOf(instance.id), given);
        expect(taken).to.equal(true);
        expect(await virsh("domblklist", instance.name)).not.to.include(frozen);
        await fixture.engine.instances.stop(lockOf(instance.id), "force", context());
      },
      { mounts: [mount] },
    );
  });

  async function create(): Promise<Instance> {
    return fixture.engine.instances.create(newSpec(fixture), context());
  }

  const remove = (instance: Instance) =>
    whileLocked(fixture, instance, () => fixture.engine.instances.remove(lockOf(instance.id), context()));
});
