import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { build } from "esbuild";
import { buildSample, type Home, installStrata, makeHome, testPlugin } from "../../support/plugin.ts";
import { readRules, testsOf } from "../../support/rules.ts";
import { MUTANTS, type Mutant } from "./mutants.ts";

/** The sample with a text of it in the place of another, built; only types are not checked. */
async function breakSample(sample: string, path: string, { file, before, after }: Mutant): Promise<void> {
  await cp(sample, path, { recursive: true, filter: (source) => !source.endsWith("/dist") });
  const source = await readFile(join(path, file), "utf8");
  expect(source.split(before), `${file} has not once: ${before}`).to.have.length(2);
  await writeFile(
    join(path, file),
    source.replace(before, () => after),
  );
  await build({
    entryPoints: ["index.ts", "store.ts"].map((name) => join(path, "src", name)),
    outdir: join(path, "dist"),
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20.19",
    packages: "external",
    logLevel: "silent",
  });
}

describe("the conformance kit", () => {
  let home: Home;
  let sample: string;
  let rules: ReadonlyMap<string, readonly string[]>;

  before(async () => {
    home = await makeHome();
    await installStrata(home.path);
    sample = await buildSample(home.path);
    rules = await readRules("sample");
  });
  after(() => home[Symbol.asyncDispose]());

  it("has every test that docs/plugins.md names, and passes the sample as it is", async () => {
    const { failed, output, titles } = await testPlugin(sample);
    expect(failed, output).to.equal(false);
    for (const test of [...rules.values()].flat()) {
      expect(
        titles.some((title) => title.startsWith(test)),
        test,
      ).to.equal(true);
    }
  });

  it(`finds each of ${MUTANTS.length} ways to break the sample, by the tests of its rule`, async () => {
    const survivors: string[] = [];
    const left = MUTANTS.entries();
    const worker = async () => {
      for (const [at, mutant] of left) {
        const path = join(home.path, `mutant-${at}`);
        await breakSample(sample, path, mutant);
        const { failed, output } = await testPlugin(path, testsOf(rules, mutant.rule));
        if (!failed) {
          survivors.push(`${mutant.rule}: ${mutant.file}: ${mutant.before} -> ${mutant.after}\n${output}`);
        }
        await rm(path, { recursive: true });
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, worker));
    expect(survivors.join("\n"), `${survivors.length} pass`).to.equal("");
  });
});
