import { chmod, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect } from "chai";
import { strata } from "../support/program.ts";

/** Bytes that tell what is in the file. */
const HEADER = 8192;

/** What V8 compiled is kept for the next run. It may be missing, old or broken, and nothing but time is lost. */
describe("the code cache", () => {
  let home: string;
  let folder: string;

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "strata-code-"));
    folder = join(home, "strata", "code");
  });

  afterEach(async () => {
    await rm(home, { recursive: true, force: true });
  });

  async function version(command = "version"): Promise<string> {
    const { code, stdout, stderr } = await strata([command], { env: { XDG_CACHE_HOME: home } });
    expect({ code, stderr }).to.deep.equal({ code: 0, stderr: "" });
    return stdout;
  }

  async function kept(): Promise<{ path: string; bytes: Buffer; commands: string[]; chunks: object }> {
    const files = await readdir(folder);
    expect(files).to.have.length(1);
    const path = join(folder, files[0] ?? "");
    const bytes = await readFile(path);
    return { path, bytes, ...JSON.parse(bytes.toString("latin1", 0, HEADER)) };
  }

  it("is made by the first run, its owner's alone, and used by the next", async () => {
    const first = await version();
    const { path, bytes, commands } = await kept();
    expect(commands).to.deep.equal(["version"]);
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
    expect((await stat(folder)).mode & 0o777).to.equal(0o700);
    expect(await version()).to.equal(first);
    // One that V8 had refused would have been made anew.
    expect((await kept()).bytes.equals(bytes)).to.equal(true);
  });

  it("takes in the code of further commands", async () => {
    await version();
    await version("help");
    expect((await kept()).commands).to.deep.equal(["version", "help"]);
  });

  it("has no code of what no command has needed, and takes it in when one does", async () => {
    await version("help");
    const few = Object.keys((await kept()).chunks);
    expect(few).to.include("main.js");
    await strata(["aliases"], { env: { XDG_CACHE_HOME: home } });
    const { chunks } = await kept();
    expect(Object.keys(chunks)).to.include.members(few);
    expect(Object.keys(chunks).length).to.be.above(few.length);
  });

  it("has neither ssh nor zod for a list: both take longer to load than all the rest", async () => {
    const { code } = await strata(["--driver", "memory", "list"], { env: { XDG_CACHE_HOME: home } });
    expect(code).to.equal(0);
    const loaded = Object.keys((await kept()).chunks);
    const texts = await Promise.all(
      loaded.map((chunk) => readFile(new URL(`../../dist/bin/${chunk}`, import.meta.url), "utf8")),
    );
    const heavy = loaded.filter((_, at) => /require\("ssh2"\)|ZodType/.test(texts[at] ?? ""));
    expect(heavy).to.deep.equal([]);
  });

  it("is made anew when it is broken, and when another strata made it", async () => {
    const right = await version();
    const { path, bytes } = await kept();
    const garbled = Buffer.concat([bytes.subarray(0, HEADER), Buffer.alloc(bytes.length - HEADER, 7)]);
    // As long as they say, and they say nonsense.
    const nonsense = [
      { commands: 7, chunks: { "main.js": [HEADER, bytes.length - HEADER] } },
      { commands: ["version"], chunks: { "main.js": [bytes.length + 9, -9] } },
    ].map((index) =>
      Buffer.concat([Buffer.from(JSON.stringify(index).padEnd(HEADER)), bytes.subarray(HEADER)]),
    );
    for (const broken of [
      ...nonsense,
      Buffer.alloc(0),
      bytes.subarray(0, 9000),
      Buffer.alloc(bytes.length, 7),
      garbled,
    ]) {
      await writeFile(path, broken);
      expect(await version()).to.equal(right);
      expect((await kept()).commands).to.deep.equal(["version"]);
    }
    for (const old of [
      "main-0123456789abcdef.js-v20.0.0-x64.cache",
      "strata-0123456789abcdef-v20.0.0-x64.cache",
    ]) {
      await writeFile(join(folder, old), "old");
    }
    await version("help");
    await kept();
  });

  it("takes away what runs that were killed have left, and nothing that is being written", async () => {
    await version();
    const { path } = await kept();
    const left = [`${path}.77`, `${path}.77-1750000000000`, join(folder, "strata-0123-v20.0.0-x64.cache.1")];
    const written = `${path}.78-1750000000000`;
    for (const partial of [...left, written]) {
      await writeFile(partial, "half");
    }
    const before = Date.now() / 1000 - 3600;
    for (const partial of left) {
      await utimes(partial, before, before);
    }
    await version("help");
    expect((await readdir(folder)).sort()).to.deep.equal([basename(path), basename(written)]);
  });

  it("is not read where others could have written it", async () => {
    await version();
    const { path, bytes } = await kept();
    await chmod(path, 0o666);
    await version();
    // Replaced by one of our own.
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
    expect((await kept()).commands).to.deep.equal(["version"]);
    expect(bytes.length).to.be.above(512);
  });

  it("is done without where it cannot be kept", async () => {
    await writeFile(join(home, "strata"), "a file in the place of the folder");
    expect(await version()).to.match(/strata/);
  });
});
