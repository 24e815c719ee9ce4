import { rename, rm } from "node:fs/promises";
import { expect } from "chai";
import type { Strata } from "../../../lib/core/api/strata.ts";
import { openStrata } from "../../../lib/core/session/open.ts";
import { exists } from "../../../plugins/libvirt/storage/pool.ts";
import { codeOf } from "../../support/libvirt/fixture.ts";
import { foreignDomain } from "../../support/libvirt/foreign-domain.ts";
import { sceneForEach } from "../../support/libvirt/scene-hooks.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import type { Scene, Stage } from "../../support/libvirt/virsh-scene.ts";

/** Somebody has removed the folder, or what it is on is not mounted. */
describe("an instance whose folder is gone", () => {
  let stage: Stage;
  let scene: Scene;
  let kept: string;
  sceneForEach((opened, each) => {
    stage = opened;
    scene = each;
  });
  beforeEach(async () => {
    await scene.chain(["a", "b"], 2);
    kept = `${scene.folder}.kept`;
  });
  afterEach(() => rm(kept, { recursive: true, force: true }));

  const takeAway = () => rename(scene.folder, kept);
  const state = () => virsh("domstate", scene.name);

  /** strata with an engine that lists this instance alone: what others have deleted on this host is theirs. */
  async function alone(): Promise<Strata> {
    const { engine, folder } = stage.fixture;
    const { instances } = engine;
    const list = async () => (await instances.list()).filter(({ name }) => name === scene.name);
    const listed = { ...engine, instances: { ...instances, list }, async [Symbol.asyncDispose]() {} };
    return openStrata({ driver: "libvirt", engine: listed, folders: { config: folder } });
  }

  for (const power of ["stopped", "running"] as const) {
    describe(power, () => {
      beforeEach(async () => {
        if (power === "running") {
          await scene.run();
        }
        await takeAway();
      });

      it("is shown and listed, with its snapshots", async () => {
        const { strata } = stage;
        expect((await strata.instances.info([scene.name]))[0]?.name).to.equal(scene.name);
        expect((await strata.instances.list()).map(({ name }) => name)).to.include(scene.name);
        const [tree] = await strata.snapshots.list([scene.name]);
        expect(tree?.snapshots.map(({ name }) => name)).to.have.members(["a", "b"]);
      });

      it("is named by doctor, which removes nothing", async () => {
        const found = (await scene.findings()).map(({ kind, subject, repair }) => ({
          kind,
          subject,
          repair,
        }));
        expect(found).to.deep.equal([{ kind: "folder-missing", subject: scene.folder, repair: undefined }]);
      });

      it("is stopped by force, and usable as it was once the folder is back", async () => {
        await scene.powerOff();
        expect(await state()).to.equal("shut off");
        expect(await exists(scene.folder), "a folder in the way of the one that comes back").to.equal(false);
        await rename(kept, scene.folder);
        await scene.requireUsable();
        await scene.purge();
      });

      it("is purged", () => scene.purge());

      it("is deleted, and goes with all that are deleted", async () => {
        await stage.strata.delete([{ instance: scene.name }]);
        expect(await state()).to.equal("shut off");
        await using strata = await alone();
        expect(await strata.instances.purge()).to.deep.equal([scene.name]);
        expect(await stage.fixture.engine.instances.find(scene.name)).to.equal(null);
        expect(await exists(scene.folder)).to.equal(false);
      });
    });
  }

  it("is changed by nothing else, and whoever tries is told what is missing and what works", async () => {
    await takeAway();
    const { strata } = stage;
    const { name } = scene;
    const refused: Readonly<Record<string, () => Promise<unknown>>> = {
      snapshot: () => strata.snapshots.take(name, { name: "c" }),
      restore: () => strata.snapshots.restore({ instance: name, snapshot: "a" }),
      "delete a snapshot": () => strata.delete([{ instance: name, snapshot: "b" }]),
      start: () => strata.instances.start([name], { timeout: 1 }),
      optimize: () => strata.instances.optimize([name]),
      resize: () => strata.settings.set(`local.${name}.cpus`, "2"),
      clone: () => strata.instances.clone(name, { name: `${name}c` }),
    };
    for (const [what, work] of Object.entries(refused)) {
      expect(await codeOf(work()), what).to.equal("FOLDER_MISSING");
      expect(await exists(scene.folder), what).to.equal(false);
    }
    const error: unknown = await strata.snapshots
      .take(name, { name: "c" })
      .catch((caught: unknown) => caught);
    expect(String(error)).to.contain(scene.folder);
    expect(Object(error).hint).to.contain("backup").and.contain(`strata delete --purge ${name}`);
    await rename(kept, scene.folder);
    await scene.requireUsable();
  });

  it("is released, if it was adopted and its own disk is all that it uses", async () => {
    const { fixture, strata, contents } = stage;
    await using foreign = await foreignDomain(fixture.connection, fixture.folder);
    const before = await contents.of(foreign.disk);
    await strata.instances.adopt(foreign.name);
    const { folder } = await fixture.layers({ id: await virsh("domuuid", foreign.name) });
    await rm(folder, { recursive: true });
    await strata.instances.release(foreign.name);
    expect(await virsh("dumpxml", foreign.name)).not.to.contain("urn:strata:1");
    expect(await contents.of(foreign.disk)).to.equal(before);
    expect(await exists(folder)).to.equal(false);
  });
});
