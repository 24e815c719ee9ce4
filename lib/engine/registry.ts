import { asStrataError, failure, isStrataError, reasonOf, type StrataError } from "../errors.ts";

import { builtInNames, importBuiltIn } from "./built-in.ts";
import { API_VERSION, type EnginePlugin } from "./contract.ts";
import { guardPlugin } from "./guard.ts";
import { importEntry } from "./import-module.ts";
import { ENGINE_NAME, readManifest } from "./manifest.ts";

/** Engine that is used when nothing else is said. */
export const DEFAULT_ENGINE = "libvirt";

/** Engines under the names that the reference CLI has for them. */
const OTHER_NAMES: Readonly<Record<string, string>> = { qemu: "libvirt" };

/** The name of the engine that somebody means. */
export function engineNamed(text: string): string {
  return Object.hasOwn(OTHER_NAMES, text) ? (OTHER_NAMES[text] ?? text) : text;
}

/** How long a plugin's module may take to load, ms. */
const LOAD_TIMEOUT_MS = 10_000;

/** An engine that can be loaded. Nothing of its code has been touched yet. */
export interface EngineSource {
  readonly name: string;
  /** "built-in", or the name and version of its package. */
  readonly origin: string;
  /** Rejects with PLUGIN_ERROR or PLUGIN_INCOMPATIBLE. */
  load(): Promise<EnginePlugin>;
}

/** What the configuration names and what cannot be used. */
export interface Refusal {
  readonly entry: string;
  /** The engine's name as far as it is known. */
  readonly name: string;
  readonly error: StrataError;
}

/** The engines that there are. A plugin that is refused takes nothing from the others. */
export interface Catalogue {
  /** Where packages are looked for first. */
  readonly folder: string;
  /** In the order of the configuration. */
  readonly configured: readonly EngineSource[];
  readonly refused: readonly Refusal[];
  /** All names that `find` takes. */
  names(): Promise<string[]>;
  /** Rejects with the reason of a refusal, or PLUGIN_UNKNOWN. */
  find(name: string): Promise<EngineSource>;
}

/** The entries of the setting `local.plugins`: built-in engines, packages, absolute paths. */
export function pluginEntries(setting: string): string[] {
  const entries = setting.split(",").map((entry) => entry.trim());
  return [...new Set(entries.filter(Boolean))];
}

/**
 * Reads the manifests of what the configuration names, and nothing else. `folder` is where packages of
 * engines are looked for first: it holds a `node_modules` made by `npm install --prefix`.
 */
export async function openCatalogue(entries: readonly string[], folder: string): Promise<Catalogue> {
  const shipped = await builtInNames();
  const configured = new Map<string, EngineSource>();
  const refused: Refusal[] = [];
  for (const entry of entries) {
    let name = guessedName(entry);
    try {
      const source = shipped.includes(entry) ? builtIn(entry) : await packaged(entry, folder);
      name = source.name;
      const first =
        configured.get(name)?.origin ??
        (source.origin !== BUILT_IN && shipped.includes(name) ? BUILT_IN : undefined);
      if (first !== undefined) {
        throw failure("PLUGIN_DUPLICATE", { plugin: name, first, second: source.origin });
      }
      configured.set(name, source);
    } catch (error) {
      refused.push({ entry, name, error: asStrataError(error) });
    }
  }
  const names = async () => [...new Set([...shipped, ...configured.keys()])].sort();
  return {
    folder,
    configured: [...configured.values()],
    refused,
    names,
    async find(name) {
      const found = configured.get(name) ?? (shipped.includes(name) ? builtIn(name) : undefined);
      if (found !== undefined) {
        return found;
      }
      const refusal = refused.find((each) => each.name === name);
      if (refusal !== undefined) {
        throw refusal.error;
      }
      throw failure("PLUGIN_UNKNOWN", { plugin: name, known: (await names()).join(", ") });
    },
  };
}

const BUILT_IN = "built-in";

function builtIn(name: string): EngineSource {
  return { name, origin: BUILT_IN, load: () => load(name, () => importBuiltIn(name)) };
}

async function packaged(entry: string, folder: string): Promise<EngineSource> {
  const { plugin, origin, entry: module } = await readManifest(entry, folder);
  const loadIt = async () => guardPlugin(await load(plugin, () => importEntry(module)));
  return { name: plugin, origin, load: loadIt };
}

/** The name that an engine has by the custom of packages, for those that cannot be read. */
function guessedName(entry: string): string {
  const last = entry.split("/").at(-1) ?? "";
  return last.replace(/^strata-plugin-/, "");
}

/** Loads a plugin's module and looks at what it exports; rejects with an error that names the plugin. */
export async function load(name: string, loader: () => Promise<unknown>): Promise<EnginePlugin> {
  const wrong = (reason: string, cause?: unknown) => failure("PLUGIN_ERROR", { plugin: name, reason }, cause);
  const module = await inTime(loader, wrong).catch((error: unknown) => {
    if (isStrataError(error)) {
      throw error;
    }
    throw wrong(`its module cannot be loaded: ${reasonOf(error)}`, error);
  });
  const plugin = (module as { readonly default?: Partial<EnginePlugin> }).default;
  if (typeof plugin !== "object" || plugin === null) {
    throw wrong("its module has no default export");
  }
  const { apiVersion, settings, check, open, description } = plugin;
  const right =
    typeof apiVersion === "string" &&
    typeof description === "string" &&
    typeof check === "function" &&
    typeof open === "function" &&
    Array.isArray(settings) &&
    settings.every(({ key, validate }) => typeof key === "string" && typeof validate === "function");
  if (!right) {
    throw wrong("its module must export a plugin: see docs/plugins.md");
  }
  if (plugin.name !== name || !ENGINE_NAME.test(name)) {
    throw wrong(`its module has the name "${plugin.name}"`);
  }
  if (!isCompatible(apiVersion)) {
    throw failure("PLUGIN_INCOMPATIBLE", { plugin: name, wanted: apiVersion, version: API_VERSION });
  }
  return plugin as EnginePlugin;
}

/** A plugin made for this major version and no later minor one knows all that the core will ask of it. */
function isCompatible(made: string): boolean {
  const [major, minor] = made.split(".").map(Number);
  const [ourMajor, ourMinor = 0] = API_VERSION.split(".").map(Number);
  return major === ourMajor && minor !== undefined && minor <= ourMinor;
}

/** A module that waits for something while it is loaded would keep everybody waiting. */
async function inTime<T>(work: () => Promise<T>, wrong: (reason: string) => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(wrong(`its module did not load within ${LOAD_TIMEOUT_MS / 1000} s`)),
      LOAD_TIMEOUT_MS,
    );
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
