import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { type Home, makeHome } from "../../support/plugin.ts";
import { done, strata } from "../../support/program.ts";

interface Bad {
  /** Where it is not told otherwise the manifest is right, and names the engine `bad`. */
  readonly manifest?: unknown;
  readonly module?: string;
  /** What using it says, and the exit code. */
  readonly says: RegExp;
  readonly code: number;
  /** Of a command that has done its work. */
  readonly warns?: RegExp;
  /** Loaded plugins are seen as such by `strata plugins`; their calls fail. */
  readonly state?: "loaded" | "unavailable";
  /** What becomes of its check. */
  readonly check?: RegExp;
}

const rest = "description: 'x', settings: [], apiVersion: '3.0.0'";
const info =
  "info: async () => ({ name: 'bad', version: '1', engine: 'bad 1', kind: 'fake', features: new Set(), missing: new Map(), imageFormats: ['any'] })";
const snapshots = "tree restore delete take rename describe".replace(/\w+/g, "$&() {},");
const instances = "lock create start stop resize annotate remove".replace(/\w+/g, "$&() {},");
const guest = "via: 'engine', ready() {}, exec() {}";
const close = "[Symbol.asyncDispose]: async () => {}";
const groups = `snapshots: { ${snapshots} }, guest: { ${guest} }, ${close}`;
/** A plugin in one line, with members in the place of those that work. */
const plugin = (engine: string, check = "async () => []") =>
  `const some = { ${instances} list: async () => [], find: async () => null };
export default { name: 'bad', ${rest}, check: ${check}, open: async () => ({ ${info}, ${groups}, ${engine} }) };`;
const works = plugin("instances: some");

const BAD: Readonly<Record<string, Bad>> = {
  "is made for a later contract": {
    manifest: { plugin: "bad", api: "^4.0.0", entry: "./index.js" },
    module: "throw new Error('it was loaded all the same');",
    says: /requires version \^4\.0\.0 of the engine contract; this strata has 3\./,
    code: 11,
  },
  "says another version once it is loaded": {
    module: works.replace("'3.0.0'", "'3.99.0'"),
    says: /requires version 3\.99\.0 of the engine contract/,
    code: 11,
  },
  "has a manifest that is no JSON": { manifest: "{", says: /package\.json: must be valid JSON/, code: 1 },
  "has no manifest key": {
    manifest: null,
    says: /package\.json: strata: must be there, .* without "strata" the package is not an engine plugin/,
    code: 1,
  },
  "has no name for its engine": {
    manifest: { api: "^3.0.0", entry: "./index.js" },
    says: /strata\.plugin: must be a name of lower-case letters/,
    code: 1,
  },
  "has a range that is none": {
    manifest: { plugin: "bad", api: "newest", entry: "./index.js" },
    says: /strata\.api: must be a range of versions/,
    code: 1,
  },
  "is not built": {
    manifest: { plugin: "bad", api: "^3.0.0", entry: "./dist/index.js" },
    says: /\.\/dist\/index\.js does not exist; is the package built\?/,
    code: 1,
  },
  "has its module outside of the package": {
    manifest: { plugin: "bad", api: "^3.0.0", entry: "../../../../../config/strata/settings.json" },
    says: /must be inside the package/,
    code: 1,
  },
  "throws while it is loaded": {
    module: "throw new TypeError('no such driver');",
    says: /its module cannot be loaded: no such driver/,
    code: 1,
  },
  "is no JavaScript": {
    module: "export default {",
    says: /its module cannot be loaded: \/\S+\/strata-plugin-bad\/index\.js:1: Unexpected end of input/,
    code: 1,
  },
  "gives an engine without instances": {
    module: plugin("instances: undefined"),
    says: /engine plugin "bad": open: it gave no instances/,
    code: 1,
    state: "unavailable",
  },
  "gives no engine at all": {
    module: works.replace("open: async () => (", "open: async () => ({}), other: async () => ("),
    says: /engine plugin "bad": open: it gave no info/,
    code: 1,
    state: "unavailable",
  },
  "declares what is not there": {
    module: works.replace("features: new Set()", "features: new Set(['clone'])"),
    says: /engine plugin "bad": info: it declares clone, and instances\.clone is not there/,
    code: 0,
    state: "unavailable",
  },
  "cannot be closed": {
    module: works.replace(close, "[Symbol.asyncDispose]: () => { throw new Error('stuck'); }"),
    says: /^/,
    warns: /^strata: warning: engine plugin "bad": \[Symbol\.asyncDispose\]: stuck$/m,
    code: 0,
    state: "loaded",
  },
  "exports nothing": { module: "export const plugin = {};", says: /no default export/, code: 1 },
  "exports something else": {
    module: "export default { name: 'bad' };",
    says: /must export a plugin/,
    code: 1,
  },
  "calls itself otherwise": {
    module: works.replace("name: 'bad'", "name: 'worse'"),
    says: /has the name "worse"/,
    code: 1,
  },
  "throws when it is checked": {
    module: plugin(
      "instances: { ...some, list() { throw new Error('no list'); } }",
      "() => { throw new Error('check!'); }",
    ),
    says: /engine plugin "bad": instances\.list: no list/,
    check: /engine plugin "bad": check: check!/,
    code: 1,
    state: "loaded",
  },
  "cannot be opened": {
    module: works.replace(
      "open: async () => ",
      "open: () => { throw new Error('closed'); }, other: async () => ",
    ),
    says: /engine plugin "bad": open: closed/,
    code: 1,
    state: "unavailable",
  },
  "tells nothing of use about itself": {
    module: works.replace("features: new Set()", "features: []"),
    says: /engine plugin "bad": info: features must be a Set/,
    code: 0,
    state: "unavailable",
  },
  "rejects with what is no error": {
    module: plugin("instances: { ...some, list: async () => { throw 'gone'; } }"),
    says: /engine plugin "bad": instances\.list: gone/,
    code: 1,
    state: "loaded",
  },
};

describe("a plugin that", () => {
  let home: Home;
  before(async () => {
    home = await makeHome();
  });
  after(() => home[Symbol.asyncDispose]());

  /** Puts it where npm would, and has the configuration name it. */
  async function install({ manifest, module = works }: Bad): Promise<string> {
    const path = join(home.plugins, "strata-plugin-bad");
    await mkdir(path, { recursive: true });
    const given = manifest === undefined ? { plugin: "bad", api: "^3.0.0", entry: "./index.js" } : manifest;
    const text =
      typeof given === "string"
        ? given
        : JSON.stringify({
            name: "strata-plugin-bad",
            version: "1.2.3",
            type: "module",
            ...(given === null ? {} : { strata: given }),
          });
    await writeFile(join(path, "package.json"), text);
    await writeFile(join(path, "index.js"), module);
    await home.configure({ "local.driver": "memory", "local.plugins": "strata-plugin-bad" });
    return path;
  }

  /** What must go on working whatever a plugin does. */
  async function goesOn(): Promise<void> {
    const { env } = home;
    const listed = await strata(["list"], { env });
    expect(listed.stdout, listed.stderr).to.contain("No instances found");
    await done(["set", "local.driver=memory"], { env });
  }

  async function seen(): Promise<{
    state: string;
    reason: string;
    checks: { ok: boolean; detail: string }[];
  }> {
    const { plugins } = JSON.parse(await done(["plugins", "--format", "json"], { env: home.env }));
    return plugins.find(({ name }: { name: string }) => name === "bad");
  }

  for (const [what, bad] of Object.entries(BAD)) {
    it(`${what} says so and takes nothing down`, async () => {
      await install(bad);
      const used = await strata(["--driver", "bad", "list"], { env: home.env });
      expect(used.code, used.stderr).to.equal(bad.code);
      if (bad.code !== 0) {
        expect(used.stderr).to.match(bad.says);
      }
      if (bad.warns !== undefined) {
        expect(used.stderr).to.match(bad.warns);
      }
      expect(used.stderr).not.to.match(/internal error|\n\s+at /);
      const { state, reason, checks } = await seen();
      expect(state).to.equal(bad.state ?? "refused");
      if (state !== "loaded") {
        expect(reason).to.match(bad.says);
      }
      if (bad.check !== undefined) {
        expect(checks[0]?.detail).to.match(bad.check);
      }
      await goesOn();
    });
  }

  it("is not installed is named, with the command that installs it", async () => {
    await home.configure({ "local.driver": "memory", "local.plugins": "strata-plugin-none" });
    const used = await strata(["--driver", "none", "list"], { env: home.env });
    expect(used.code).to.equal(3);
    expect(used.stderr).to.contain(
      `npm install --prefix ${join(home.env.XDG_DATA_HOME ?? "", "strata/plugins")} strata-plugin-none`,
    );
    await goesOn();
    const refused = await strata(["set", "local.plugins=strata-plugin-other"], { env: home.env });
    expect(refused.code).to.equal(2);
    expect(refused.stderr).to.contain('"strata-plugin-other" is not installed');
    await done(["set", "local.plugins="], { env: home.env });
  });

  it("has the name of another is refused; the other is used", async () => {
    await install({
      manifest: { plugin: "memory", api: "^3.0.0", entry: "./index.js" },
      says: /x/,
      code: 0,
    });
    const { env } = home;
    const { plugins } = JSON.parse(await done(["plugins", "--format", "json"], { env }));
    const named = plugins.filter(({ name }: { name: string }) => name === "memory");
    expect(named.map(({ state }: { state: string }) => state).sort()).to.deep.equal(["loaded", "refused"]);
    expect(named.map(({ reason }: { reason: string }) => reason).join("")).to.contain(
      'two engines have the name "memory": built-in and strata-plugin-bad 1.2.3',
    );
    await goesOn();
  });

  it("everybody could write is not loaded", async () => {
    const path = await install({ says: /x/, code: 0 });
    await chmod(join(path, "index.js"), 0o666);
    const used = await strata(["--driver", "bad", "list"], { env: home.env });
    await chmod(join(path, "index.js"), 0o644);
    expect(used.code).to.equal(1);
    expect(used.stderr).to.contain("must not be writable by everyone");
  });

  it("is the driver and breaks can be left for another", async () => {
    await install({ module: "throw new Error('broken');", says: /x/, code: 1 });
    await home.configure({ "local.driver": "bad", "local.plugins": "strata-plugin-bad" });
    const { env } = home;
    expect(await done(["version"], { env })).to.match(/^strata +\d/);
    expect((await strata(["list"], { env })).code).to.equal(1);
    await done(["set", "local.driver=memory"], { env });
    expect(await done(["get", "local.driver"], { env })).to.equal("memory\n");
    expect((await strata(["list"], { env })).stdout).to.equal("No instances found.\n");
  });

  it("the configuration does not name is not even looked at", async () => {
    await install({ module: "process.stdout.write('LOADED'); throw 1;", says: /x/, code: 1 });
    await home.configure({ "local.driver": "memory" });
    const { plugins } = JSON.parse(await done(["plugins", "--format", "json"], { env: home.env }));
    expect(plugins.map(({ name }: { name: string }) => name)).not.to.include("bad");
  });
});
