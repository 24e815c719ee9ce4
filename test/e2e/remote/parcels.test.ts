import { mkdtemp, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { context, newSpec } from "../../../lib/engine/conformance/fixture.ts";
import { stageForAll } from "../../support/libvirt/scene-hooks.ts";
import type { Stage } from "../../support/libvirt/virsh-scene.ts";
import { done, type Ended, strata } from "../../support/program.ts";
import { type FarHost, farHost } from "../../support/remote/far-host.ts";

const NAME = `strata-test-parcels-${process.pid}`;
const COPY = `${NAME}-copy`;

/** Both hosts have the same libvirt, so names differ. */
describe("an instance on its way to another host", () => {
  let far: FarHost;
  let stage: Stage;
  let folder: string;
  const env = () => ({ ...far.env, STRATA_DRIVER: "libvirt" });
  const here = (...args: string[]): Promise<Ended> => strata(args, { env: env(), cwd: folder });
  const there = (...args: string[]) => here("--host", "box", ...args);
  const snapshots = async (name: string) => {
    const [tree] = await stage.strata.snapshots.list([name]);
    return tree?.snapshots.map((snapshot) => snapshot.name);
  };
  /** Whatever a test has made, so that each stands alone. */
  const remove = (name: string) =>
    stage.strata.delete([{ instance: name }], { purge: true, skipMissing: true });

  after(async () => {
    await remove(NAME);
    await far[Symbol.asyncDispose]();
  });
  afterEach(() => remove(COPY));
  stageForAll((opened) => {
    stage = opened;
  });
  before(async () => {
    far = await farHost({ STRATA_DRIVER: "libvirt" });
    await done(["context", "add", "box", far.address], { env: far.env });
    await stage.fixture.engine.instances.create(newSpec(stage.fixture, { name: NAME }), context());
    await stage.strata.snapshots.take(NAME, { name: "clean" });
    await stage.strata.snapshots.take(NAME, { name: "later" });
  });

  beforeEach(async () => {
    folder = await mkdtemp(join(far.folder, "files-"));
  });

  it("is copied there with its snapshots", async () => {
    const { code, stdout, stderr } = await here("copy", NAME, `box:${COPY}`);
    expect([code, stderr, stdout]).to.deep.equal([0, "", `Copied: ${NAME} to box:${COPY}\n`]);
    expect(await snapshots(COPY)).to.deep.equal(["clean", "later"]);
  });

  it("is copied as it was in one snapshot", async () => {
    const { code, stderr } = await here("copy", `${NAME}.clean`, `${far.address}:${COPY}`);
    expect([code, stderr]).to.deep.equal([0, ""]);
    expect(await snapshots(COPY)).to.deep.equal([]);
  });

  it("is not copied over another one there, and the other host's reason is told", async () => {
    const { code, stderr } = await here("copy", NAME, "box:");
    expect(code).to.equal(1);
    expect(stderr).to.contain("strata on box").and.to.contain(`"${NAME}" already exists`);
  });

  it("needs a host to be copied to", async () => {
    for (const target of [COPY, "box", "ssh://root@box", "box:../x", ":web"]) {
      const { code, stderr } = await here("copy", NAME, target);
      expect([code, stderr], target).to.satisfy(() => code === 2 && stderr.includes("HOST:"));
    }
  });

  it("leaves the other host as a file here, and comes to it from one", async () => {
    const { code, stdout, stderr } = await there("export", NAME, "web.tar");
    expect([code, stderr, stdout]).to.deep.equal([0, "", `Exported: ${NAME}\n`]);
    expect(await readdir(folder)).to.deep.equal(["web.tar"]);
    const again = await there("export", NAME, "web.tar");
    expect(again.code).to.equal(2);
    const came = await there("import", "web.tar", "--as", COPY);
    expect(came).to.deep.equal({ code: 0, stdout: `Imported: ${COPY}\n`, stderr: "" });
    expect(await snapshots(COPY)).to.deep.equal(["clean", "later"]);
  });

  it("leaves no file here if it cannot leave the other host", async () => {
    const { code, stderr } = await there("export", `${NAME}-none`, "none.tar");
    expect(stderr).to.contain("does not exist");
    expect([code, await readdir(folder)]).to.deep.equal([3, []]);
  });

  it("is refused there where the file is none of strata's", async () => {
    await writeFile(join(folder, "junk.tar"), Buffer.alloc(5_000_000, 7));
    const { code, stderr } = await there("import", "junk.tar", "--as", COPY);
    expect(code).to.equal(12);
    expect(stderr).to.match(/^strata: /);
  });
});
