import { readdir, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { context, lockOf, newSpec, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Finding, Instance } from "../../../lib/engine/contract.ts";
import { MEMORY_NAME, newMemoryPath } from "../../../plugins/libvirt/memory/files.ts";
import { codeOf, type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";

/** Guests without a system: that they run is enough. */
describe("the memory of snapshots", () => {
  let fixture: LibvirtFixture;
  let instance: Instance;
  let folder: string;
  before(async () => {
    fixture = await libvirtFixture();
  });
  after(() => fixture[Symbol.asyncDispose]());
  beforeEach(async () => {
    const { instances } = fixture.engine;
    instance = await instances.create(newSpec(fixture), context());
    ({ folder } = await fixture.layers(instance));
    await held(async () => {
      await instances.start(lockOf(instance.id), context());
      await take(fixture, instance, "warm", { consistency: "memory" });
      await instances.stop(lockOf(instance.id), "force", context());
    });
  });
  afterEach(() => held(() => fixture.engine.instances.remove(lockOf(instance.id), context())));

  const held = <T>(work: () => Promise<T>) => whileLocked(fixture, instance, work);
  const files = async () => (await readdir(folder)).filter((file) => MEMORY_NAME.test(file));
  const findings = async (): Promise<Finding[]> =>
    ((await fixture.engine.maintenance?.audit()) ?? []).filter((each) => each.instance === instance.name);

  it("goes with the snapshot", async () => {
    expect(await files()).to.have.length(1);
    const removal = { name: "warm", parent: null, children: [] };
    await held(() => fixture.engine.snapshots.delete(lockOf(instance.id), removal, context()));
    expect(await files()).to.deep.equal([]);
    expect(await findings()).to.deep.equal([]);
  });

  it("is missed by doctor and by a restore with it, and the disks are restored without it", async () => {
    const { snapshots } = fixture.engine;
    await unlink(join(folder, (await files())[0] ?? ""));
    expect((await findings()).map(({ kind }) => kind)).to.deep.equal(["memory-missing"]);
    await held(async () => {
      const lock = lockOf(instance.id);
      const restored = snapshots.restore(lock, "warm", context(), { memory: true });
      expect(await codeOf(restored)).to.equal("MEMORY_UNLOADABLE");
      await snapshots.restore(lock, "warm", context());
    });
  });

  it("is removed by doctor's repair if no snapshot has it, and no other is", async () => {
    const [kept = ""] = await files();
    const left = newMemoryPath(folder);
    await writeFile(left, "", { mode: 0o600 });
    const [finding, ...more] = await findings();
    expect(more).to.deep.equal([]);
    expect(finding).to.include({ kind: "memory-left", subject: left });
    expect(finding && (await fixture.engine.maintenance?.repair(finding, context()))).to.equal(true);
    expect(await files()).to.deep.equal([kept]);
    expect(await findings()).to.deep.equal([]);
  });
});
