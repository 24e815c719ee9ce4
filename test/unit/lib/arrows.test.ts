import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { builtInNames } from "../../../lib/engine/built-in.ts";
import { API_VERSION } from "../../../lib/engine/contract.ts";
import { DEFAULT_ENGINE } from "../../../lib/engine/registry.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** The sources of a room by their paths, without comments. */
function sources(room: string): [path: string, code: string][] {
  return readdirSync(join(ROOT, room), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => {
      const file = join(ROOT, room, path);
      return [relative(ROOT, file), readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "")];
    });
}

describe("the core", () => {
  it("never asks for an engine by its name", async () => {
    const names = await builtInNames();
    expect(names).to.include(DEFAULT_ENGINE);
    const name = `["'\`](${names.join("|")})["'\`]`;
    const asks = new RegExp(`(===?|!==?|case|includes\\(|startsWith\\()\\s*${name}|${name}\\s*(===?|!==?)`);
    // "memory" is a consistency of snapshots too.
    const other = /consistency [!=]== "memory"/g;
    const found = [...sources("lib"), ...sources("bin")].flatMap(([path, code]) =>
      code
        .split("\n")
        .flatMap((line) => (asks.test(line.replace(other, "")) ? [`${path}: ${line.trim()}`] : [])),
    );
    expect(found).to.deep.equal([]);
  });

  it("has the name of an engine in one place, that of the default", async () => {
    // "memory" is a word of its own beside.
    const names = (await builtInNames()).filter((name) => name !== "memory");
    const literal = new RegExp(`["'\`](${names.join("|")})["'\`]`);
    const found = [...sources("lib"), ...sources("bin")].filter(([, code]) => literal.test(code));
    expect(found.map(([path]) => path)).to.deep.equal(["lib/engine/registry.ts"]);
  });
});

describe("programs of the host", () => {
  const all = () => ["lib", "bin", "plugins"].flatMap(sources);
  const linesWith = (pattern: RegExp) =>
    all().flatMap(([path, code]) => (code.match(pattern) ?? []).map((found) => `${path}: ${found}`));

  it("are started by what takes a list of arguments, and no shell between", () => {
    const starters = linesWith(
      /import (?!type)[^;]*from "(node:)?child_process"|[^\n;]*\("?execa"?\)|import [^;]*from "execa"/g,
    );
    expect(starters.length).to.be.greaterThan(5);
    const harmless =
      /import \{ spawn \} from "node:child_process"|import \{ execa \} from "execa"|const \{ execa \} = await import\("execa"\)/;
    expect(starters.filter((line) => !harmless.test(line))).to.deep.equal([]);
    expect(linesWith(/\bshell: (?:true|["'`])[^\n]*/g)).to.deep.equal([]);
    // execa parses a template as a command line would be.
    expect(linesWith(/\bexeca(?:\([^)]*\))?`[^\n]*/g)).to.deep.equal([]);
  });

  it("are no shell with a script, but for strata's own setup and one trial, both without a word of anybody's", () => {
    const shells = linesWith(/\b(?:run|spawn|execa|asRoot)\(\s*["'`](?:\/bin\/)?(?:ba|da)?sh["'`][^\n]*/g);
    expect(shells).to.deep.equal([
      'lib/cli/commands/setup.ts: execa("bash", [script], {',
      'plugins/libvirt/mounts/sharing.ts: run("sh", ["-c", trial]).then(',
    ]);
  });
});

describe("an engine that ships with strata", () => {
  it("exports a plugin of this contract under the name of its folder", async function () {
    // It loads all that the engines are made of.
    this.timeout(60_000);
    for (const name of await builtInNames()) {
      const { default: plugin } = await import(`../../../plugins/${name}/index.ts`);
      expect(plugin).to.include({ name, apiVersion: API_VERSION });
    }
  });
});
