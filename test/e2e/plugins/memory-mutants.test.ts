import { mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect } from "chai";
import { build, type Plugin } from "esbuild";
import { execa } from "execa";
import { readRules, testsOf } from "../../support/rules.ts";
import { DISK_MUTANTS } from "./disk-mutants.ts";
import type { Mutant } from "./mutants.ts";
import { RUNNING_MUTANTS } from "./running-mutants.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const ENGINE = join(ROOT, "plugins/memory");
const TEST = join(ROOT, "test/conformance/memory.test.ts");

/** Reads a file of the memory engine with a text of it in the place of another. */
function breaking({ file, before, after }: Mutant): Plugin {
  return {
    name: "mutant",
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        if (path !== join(ENGINE, file)) {
          return undefined;
        }
        const source = await readFile(path, "utf8");
        expect(source.split(before), `${file} has not once: ${before}`).to.have.length(2);
        return { contents: source.replace(before, () => after), loader: "ts" };
      });
    },
  };
}

/** The conformance of the memory engine as one file, whose paths are those of this repository. */
async function bundle(outfile: string, plugins: Plugin[]): Promise<void> {
  await build({
    entryPoints: [TEST],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20.19",
    packages: "external",
    define: { "import.meta.url": JSON.stringify(pathToFileURL(TEST).href) },
    plugins,
    logLevel: "silent",
  });
}

/** Runs those of its tests that begin with one of these titles. */
async function run(file: string, titles: readonly string[]) {
  const some = titles.map((title) => title.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|");
  return execa(
    process.execPath,
    [
      "--import=tsx",
      join(ROOT, "node_modules/mocha/bin/mocha.js"),
      "--no-config",
      "--grep",
      `^(${some})`,
      "--exit",
      file,
    ],
    { cwd: ROOT, reject: false, all: true, timeout: 300_000 },
  );
}

describe("the conformance kit, of what only the memory engine has", () => {
  let folder: string;
  let rules: ReadonlyMap<string, readonly string[]>;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-memory-mutants-"));
    await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
    rules = await readRules("memory");
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("passes the memory engine as it is", async () => {
    const file = join(folder, "whole.test.mjs");
    await bundle(file, []);
    const broken = new Set([...DISK_MUTANTS, ...RUNNING_MUTANTS].map(({ rule }) => rule));
    const { exitCode, all } = await run(
      file,
      [...broken].flatMap((rule) => testsOf(rules, rule)),
    );
    expect(exitCode, all).to.equal(0);
  });

  const finds = (what: string, mutants: readonly Mutant[]) =>
    it(`finds each of ${mutants.length} ways to break its ${what}, by the tests of its rule`, async () => {
      const survivors: string[] = [];
      const left = mutants.entries();
      const worker = async () => {
        for (const [at, mutant] of left) {
          const file = join(folder, `mutant-${at}.test.mjs`);
          await bundle(file, [breaking(mutant)]);
          const { exitCode, all } = await run(file, testsOf(rules, mutant.rule));
          if (exitCode === 0 || !/\d+ failing/.test(all)) {
            survivors.push(
              `${mutant.rule}: ${basename(mutant.file)}: ${mutant.before} -> ${mutant.after}\n${all}`,
            );
          }
        }
      };
      await Promise.all(Array.from({ length: availableParallelism() }, worker));
      expect(survivors.join("\n"), `${survivors.length} pass`).to.equal("");
    });

  finds("further disks", DISK_MUTANTS);
  finds("running instances", RUNNING_MUTANTS);
});
