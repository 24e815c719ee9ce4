import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import type { Check, Engine } from "../../../../../lib/engine/contract.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

describe("doctor on a host", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-doctor-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** The checks of images on an engine that takes disks, where the default remote is this closed port. */
  const imageChecks = async (): Promise<Record<string, Check>> => {
    await writeFile(join(folder, "remotes.json"), '{"release":{"url":"http://127.0.0.1:1/"}}');
    const memory = memoryEngine();
    const info = async () => ({ ...(await memory.info()), imageFormats: ["qcow2"] });
    const engine: Engine = { ...memory, info };
    const folders = { config: folder, data: folder, cache: folder, state: folder };
    await using strata = await openStrata({ driver: "memory", engine, folders });
    return Object.fromEntries((await strata.maintenance.doctor()).map((check) => [check.what, check]));
  };

  it("says that nothing can be launched without an image, and what to run", async () => {
    const { images, "image builds": builds } = await imageChecks();
    expect(images?.ok).to.equal(false);
    expect(images?.detail).to.match(/^nothing can be launched yet: .*127\.0\.0\.1/);
    expect(images?.fix).to.match(/run strata image build debian --variant cloud$/);
    expect(builds?.ok).to.equal(true);
  });

  it("is content with an image on the host, whatever the network", async () => {
    const sha256 = "a".repeat(64);
    const record = { version: 1, sha256, format: "qcow2", os: "Debian", release: "12", aliases: ["debian"] };
    const more = { virtualSize: "1048576", username: "ubuntu", createdAt: 0, source: "file:///x" };
    await mkdir(join(folder, "images"));
    await writeFile(join(folder, "images", `${sha256}.qcow2`), "");
    await writeFile(join(folder, "images", `${sha256}.json`), JSON.stringify({ ...record, ...more }));
    expect((await imageChecks()).images).to.include({ ok: true, detail: "1 on this host" });
  });

  it("asks for no image where the engine needs none", async () => {
    await using strata = await openStrata({ driver: "memory", engine: memoryEngine() });
    expect((await strata.maintenance.doctor()).map(({ what }) => what)).not.to.include("images");
  });
});

describe("a settings file that is no JSON", () => {
  let at: CliRoom;
  const path = () => join(at.folder, ".config/strata/settings.json");
  beforeEach(async () => {
    at = await cliRoom();
    await at.done("set", "client.primary-name=web");
    await writeFile(path(), "{");
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("is a check of doctor's that failed, beside all the others", async () => {
    const { code, stdout } = await at.strata("doctor", "--format", "json");
    const { checks } = JSON.parse(stdout);
    expect(code).to.equal(1);
    const found = Object.fromEntries(checks.map((check: Check & { check: string }) => [check.check, check]));
    expect(found.settings.ok).to.equal(false);
    expect(found.settings.detail).to.contain(path());
    expect(found.memory.ok).to.equal(true);
  });

  it("fails every command that needs settings, and is not written over", async () => {
    for (const args of [
      ["list"],
      ["launch", "any"],
      ["get", "client.primary-name"],
      ["set", "client.primary-name=x"],
    ]) {
      const { code, stderr } = await at.strata(...args);
      expect([code, stderr], args.join(" ")).to.satisfy(() => code === 2 && stderr.includes(path()));
    }
    expect(await readFile(path(), "utf8")).to.equal("{");
  });
});
