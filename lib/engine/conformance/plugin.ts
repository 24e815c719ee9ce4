import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { EnginePlugin, EngineSetting, Log, OpenOptions } from "../contract.ts";
import { importEntry } from "../import-module.ts";
import { readManifest } from "../manifest.ts";
import { load } from "../registry.ts";
import { same } from "./assert.ts";
import { startChild } from "./child-process.ts";
import { withInstance } from "./fixture.ts";
import type { Kit, PluginUnderTest } from "./kit.ts";
import { NotDeclared, NotTried } from "./tally.ts";

const silent: Log = { error() {}, warn() {}, info() {}, debug() {} };

/** Loads the plugin as strata does, of a package or, for one that ships with strata, of a module. */
export async function loadPlugin(name: string, path: string): Promise<PluginUnderTest> {
  const isPackage = (await stat(path)).isDirectory();
  const manifest = isPackage ? await readManifest(path, path) : undefined;
  const module = manifest?.entry ?? path;
  const plugin = await load(manifest?.plugin ?? name, () => importEntry(module));
  return { plugin, module, ...(manifest === undefined ? {} : { manifest }) };
}

/** Values that users may type, wrongly for most settings. */
const ODD = ["", " ", "x", "-1", "0", "\u0000", "ü\n", "/", "a".repeat(5000), "{}", "__proto__"];

/** What strata reads and calls before there is an open engine. */
export function pluginTests(kit: Kit): void {
  kit.it("has a manifest that agrees with what its module exports", async (fixture) => {
    const { plugin, manifest } = kit.plugin();
    if (manifest === undefined) {
      throw new NotTried("the plugin has no package of its own");
    }
    const { default: semver } = await import("semver");
    same(plugin.name, manifest.plugin, "the name");
    same(semver.satisfies(plugin.apiVersion, manifest.api), true, "apiVersion must be in strata.api");
    const { version } = JSON.parse(await readFile(join(fixture.plugin, "package.json"), "utf8"));
    same(kit.info().version, version, "the version that info tells must be the package's");
  });

  kit.it("says which version it has", async () => {
    same(/^\d+\.\d+\.\d+/.test(kit.info().version), true, `info: version "${kit.info().version}"`);
  });

  kit.it("does nothing when it is loaded", async () => {
    const child = startChild(pathToFileURL(kit.plugin().module).href, "load");
    same(await child.ended, { code: 0, output: "" });
  });

  kit.it("leaves nothing running once it is closed", async ({ options }) => {
    if (options === undefined) {
      throw new NotTried("the fixture opens no engine in another process");
    }
    const child = startChild(pathToFileURL(kit.plugin().module).href, "open", JSON.stringify(options));
    same(await child.ended, { code: 0, output: "" });
  });

  kit.it("explains what is missing on this host, and never throws", async ({ options }) => {
    const { plugin } = kit.plugin();
    const elsewhere = { settings: defaults(plugin), dataFolder: "/dev/null/strata", log: silent };
    const checks = await Promise.all([
      plugin.check({ ...elsewhere, ...options }),
      plugin.check({ ...elsewhere, settings: { ...elsewhere.settings, ...options?.settings } }),
    ]);
    for (const { what, ok, detail, fix } of checks.flat()) {
      same(typeof what === "string" && what !== "" && typeof detail === "string", true, `check "${what}"`);
      same(typeof ok, "boolean", `check "${what}": ok`);
      same(fix === undefined || (typeof fix === "string" && fix !== ""), true, `check "${what}": fix`);
    }
  });

  kit.it("takes the defaults of its settings, and says why it refuses a value", async () => {
    const { settings } = kit.plugin().plugin;
    same(new Set(settings.map(({ key }) => key)).size, settings.length, "each key once");
    settings.forEach(checkSetting);
  });

  kit.it("forgets an image, and what was made from it stays", async (fixture) => {
    const { plugin } = kit.plugin();
    const { options } = fixture;
    if (plugin.forgetImages === undefined) {
      throw new NotDeclared("forgetImages");
    }
    if (options === undefined) {
      throw new NotTried("the fixture opens no second engine");
    }
    const forget = (sha256: string) => plugin.forgetImages?.({ ...options, log: silent }, [sha256]);
    await withInstance(fixture, async (instance) => {
      const before = await fixture.read(instance);
      await forget(fixture.image.sha256);
      await forget("f".repeat(64));
      same(await fixture.read(instance), before);
      same((await fixture.engine.instances.find(instance.name))?.id, instance.id);
    });
    await withInstance(fixture, async () => {});
  });
}

function checkSetting({ key, default: fallback, description, validate }: EngineSetting): void {
  same(
    /^[a-z][a-z0-9-]*$/.test(key),
    true,
    `the key "${key}" must be of lower-case letters, digits, hyphens`,
  );
  same(typeof description === "string" && description !== "", true, `${key}: the description`);
  same(validate(fallback), undefined, `${key}: its default must be right`);
  for (const value of ODD) {
    const reason = validate(value);
    same(reason === undefined || (typeof reason === "string" && reason !== ""), true, `${key}: the reason`);
  }
}

function defaults({ settings }: EnginePlugin): OpenOptions["settings"] {
  return Object.fromEntries(settings.map(({ key, default: fallback }) => [key, fallback]));
}
