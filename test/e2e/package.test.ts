import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { execa } from "execa";
import { installStrata } from "../support/plugin.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

const PROGRAM = `
async function main() {
  const strata = await Strata.open({ driver: "memory", settings: { "local.memory.persist": "false" } });
  await strata.instances.launch({ image: "any", name: "web" });
  await strata.instances.stop("web");
  console.log(\`\${await strata.snapshots.take("web", { name: "clean" })}\`, isStrataError(new Error("none")), VERSION);
  await strata[Symbol.asyncDispose]();
}
main();
`;

/** Settings of a TypeScript project, with the ending of its files: the package's types are right in these. */
const RIGHT = [
  ["node16", "node16", "mts"],
  ["nodenext", "nodenext", "mts"],
  ["nodenext", "nodenext", "cts"],
  ["node20", "node16", "cts"],
  ["esnext", "bundler", "ts"],
  ["preserve", "bundler", "ts"],
] as const;

describe("the package as it is installed", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-package-"));
    await installStrata(folder);
    await symlink(join(ROOT, "node_modules/expect-type"), join(folder, "node_modules/expect-type"));
    const types = await readFile(join(ROOT, "test/types/library.ts"), "utf8");
    for (const ending of ["ts", "mts", "cts"]) {
      await writeFile(
        join(folder, `library.${ending}`),
        types
          .replace("../../lib/index.ts", "strata-vm")
          .concat(
            'export type { Engine } from "strata-vm/engine";\n',
            'export { Connection } from "strata-vm/libvirt";\n',
          ),
      );
    }
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const run = async (file: string, text: string) => {
    await writeFile(join(folder, file), text);
    const { stdout, stderr } = await execa(process.execPath, [file], { cwd: folder });
    return [stdout, stderr];
  };
  const compile = async (module: string, moduleResolution: string, ending: string) => {
    const options = {
      module,
      moduleResolution,
      target: "es2022",
      strict: true,
      noEmit: true,
      types: ["node"],
    };
    const config = {
      compilerOptions: { ...options, lib: ["es2023", "esnext.disposable"] },
      files: [`library.${ending}`],
    };
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
    const { stdout } = await execa("npx", ["--no-install", "tsc", "-p", folder], {
      cwd: ROOT,
      reject: false,
    });
    return stdout;
  };

  const installed = (...path: string[]) => join(folder, "node_modules/strata-vm", ...path);
  const there = (path: string) =>
    stat(path).then(
      () => true,
      () => false,
    );

  it("has a man page where npm looks for one, and no test library among what it needs", async () => {
    const manifest = JSON.parse(await readFile(installed("package.json"), "utf8"));
    expect(manifest.man).to.be.an("array").with.length(1);
    expect(await there(installed(manifest.man[0]))).to.equal(true);
    expect(manifest.dependencies).not.to.have.any.keys("fast-check", "mocha");
    expect(await there(installed("scripts/setup-host.sh"))).to.equal(true);
  });

  it("has every file that its README and guides link to, and the sources of every source map", async () => {
    const all = await readdir(installed(), { recursive: true });
    const files = all.filter((file) => !file.startsWith("node_modules"));
    const dead: string[] = [];
    for (const page of files.filter((file) => file.endsWith(".md"))) {
      const text = await readFile(installed(page), "utf8");
      for (const [, target = ""] of text.matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)) {
        if (!(await there(installed(dirname(page), target)))) {
          dead.push(`${page}: ${target}`);
        }
      }
    }
    expect(dead).to.deep.equal([]);
    for (const file of files.filter((each) => each.endsWith(".map"))) {
      const map = JSON.parse(await readFile(installed(file), "utf8"));
      expect(map.sourcesContent, file).to.have.length(map.sources.length).and.not.include(null);
    }
  });

  it("runs by import", async () => {
    const imports = `import { Strata } from "strata-vm";\nimport { isStrataError } from "strata-vm/errors";
import manifest from "strata-vm/package.json" with { type: "json" };\nconst VERSION = typeof manifest.version;`;
    // Node.js 20 warns of modules that are JSON.
    expect((await run("imports.mjs", imports + PROGRAM))[0]).to.equal("web.clean false string");
  });

  it("runs by require, without a warning", async () => {
    const requires = `const { Strata } = require("strata-vm");\nconst { isStrataError } = require("strata-vm/errors");
const VERSION = typeof require("strata-vm/package.json").version;`;
    expect(await run("requires.cjs", requires + PROGRAM)).to.deep.equal(["web.clean false string", ""]);
  });

  for (const [module, resolution, ending] of RIGHT) {
    it(`has the right types in .${ending} files under module ${module}, moduleResolution ${resolution}`, async () => {
      expect(await compile(module, resolution, ending)).to.equal("");
    });
  }

  for (const module of ["node16", "node18"]) {
    it(`is refused by TypeScript in CommonJS files under module ${module}, which knows no require of it`, async () => {
      expect(await compile(module, "node16", "cts")).to.contain("TS1479");
    });
  }
});
