import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MODULES = join(ROOT, "node_modules");

/** A user of this host who has nothing yet: folders of their own, and the environment that leads there. */
export interface Home extends AsyncDisposable {
  readonly path: string;
  readonly env: Record<string, string>;
  /** Where packages of engines are installed. */
  readonly plugins: string;
  /** Writes the settings as they are to be found, right or wrong. */
  configure(settings: Readonly<Record<string, string>>): Promise<void>;
}

export async function makeHome(): Promise<Home> {
  const path = await mkdtemp(join(tmpdir(), "strata-home-"));
  const folder = (name: string) => join(path, name);
  const plugins = join(folder("data"), "strata/plugins/node_modules");
  await Promise.all([
    mkdir(plugins, { recursive: true }),
    mkdir(join(folder("config"), "strata"), { recursive: true }),
  ]);
  return {
    path,
    plugins,
    env: {
      XDG_CONFIG_HOME: folder("config"),
      XDG_DATA_HOME: folder("data"),
      XDG_STATE_HOME: folder("state"),
      XDG_CACHE_HOME: folder("cache"),
    },
    configure: (settings) =>
      writeFile(join(folder("config"), "strata/settings.json"), JSON.stringify(settings)),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** Puts the built strata into a folder's `node_modules`, as npm packs it, with what it depends on. */
export async function installStrata(folder: string): Promise<void> {
  const { stdout } = await execa(
    "npm",
    ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder],
    { cwd: ROOT },
  );
  const modules = join(folder, "node_modules");
  await mkdir(join(modules, "strata-vm"), { recursive: true });
  await execa("tar", [
    "-xzf",
    join(folder, stdout.trim()),
    "--strip-components=1",
    "-C",
    join(modules, "strata-vm"),
  ]);
  await symlink(MODULES, join(modules, "strata-vm/node_modules"));
  // What an author of a plugin has installed as well.
  for (const name of ["mocha", "typescript", "@types"]) {
    await symlink(join(MODULES, name), join(modules, name));
  }
}

/** A copy of the sample engine as its author has it, built by its own script's command. */
export async function buildSample(folder: string): Promise<string> {
  const path = join(folder, "strata-plugin-sample");
  await cp(join(ROOT, "docs/examples/strata-plugin-sample"), path, {
    recursive: true,
    filter: (source) => !/\/(node_modules|dist)$/.test(source),
  });
  await execa(process.execPath, [join(MODULES, "typescript/bin/tsc")], { cwd: path });
  return path;
}

/** What the tests of a plugin came to. */
export interface PluginTests {
  readonly failed: boolean;
  readonly output: string;
  /** Of all tests, in full, as they are in the output. */
  readonly titles: readonly string[];
}

/** Runs the tests of a plugin by mocha, as `npm test` does, or those alone that begin with one of these titles. */
export async function testPlugin(path: string, only: readonly string[] = []): Promise<PluginTests> {
  const mocha = join(MODULES, "mocha/bin/mocha.js");
  const some = only.map((title) => title.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|");
  const { exitCode, all } = await execa(
    process.execPath,
    [
      mocha,
      "--no-config",
      "--no-package",
      "--reporter",
      join(ROOT, "test/support/titles-reporter.cjs"),
      ...(some === "" ? [] : ["--grep", `^(${some})`]),
      // What it leaves running is a finding of the kit, and must not keep mocha.
      "--exit",
      "test/*.test.js",
    ],
    {
      cwd: path,
      reject: false,
      all: true,
      timeout: 300_000,
    },
  );
  const titles = [...all.matchAll(/^title: (.*)$/gm)].map(([, title = ""]) => title);
  return { failed: exitCode !== 0, output: all, titles };
}
