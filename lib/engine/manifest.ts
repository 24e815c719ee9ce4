import { readFile, realpath, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { isAbsolute, join, relative } from "node:path";
import { failure } from "../errors.ts";
import { API_VERSION } from "./contract.ts";

/** What the `package.json` of an engine's package says, checked, before any of its code is loaded. */
export interface Manifest {
  /** The engine's name, as in `local.driver`. */
  readonly plugin: string;
  /** Name and version of the package. */
  readonly origin: string;
  /** Range of the contract's versions that it was made for. */
  readonly api: string;
  /** Path of the module. */
  readonly entry: string;
}

const PACKAGE = /^(@[a-z0-9][\w.-]*\/)?[a-z0-9][\w.-]*$/;
export const ENGINE_NAME = /^[a-z][a-z0-9-]{0,31}$/;

/** Why a text cannot name a plugin; undefined when it can. */
export function malformed(entry: string): string | undefined {
  return isAbsolute(entry) || PACKAGE.test(entry)
    ? undefined
    : `"${entry}" must be the name of a package or an absolute path`;
}

/**
 * Finds the package of an engine, by its name or at an absolute path, and reads its manifest:
 * `"strata": { "plugin": "NAME", "api": "^3.0.0", "entry": "./dist/index.js" }`. Looks in `folder` first,
 * then where Node looks from here. Rejects with PLUGIN_MISSING, PLUGIN_INCOMPATIBLE or PLUGIN_ERROR.
 */
export async function readManifest(wanted: string, folder: string): Promise<Manifest> {
  const found = await findPackage(wanted, folder);
  const broken = (reason: string, cause?: unknown) =>
    failure(
      "PLUGIN_ERROR",
      { plugin: wanted, reason: `${join(found.path, "package.json")}: ${reason}` },
      cause,
    );
  const [{ z }, { default: semver }] = await Promise.all([import("zod"), import("semver")]);
  const words = (must: string) => z.string({ error: `must be ${must}` });
  const name = "a name of lower-case letters, digits and hyphens, at most 32";
  const range = 'a range of versions, such as "^3.0.0"';
  const shape = z.object({
    name: words("the name of the package"),
    version: z.string().default("0.0.0"),
    strata: z.object(
      {
        plugin: words(name).regex(ENGINE_NAME, `must be ${name}`),
        api: words(range).refine((given) => semver.validRange(given) !== null, `must be ${range}`),
        entry: words("the path of a module"),
      },
      { error: 'must be there, as an object: without "strata" the package is not an engine plugin' },
    ),
  });
  let document: unknown;
  try {
    document = JSON.parse(found.text);
  } catch (error) {
    throw broken("must be valid JSON", error);
  }
  const { success, data, error } = shape.safeParse(document);
  if (!success) {
    const [issue] = error.issues;
    throw broken([issue?.path.join("."), issue?.message].filter(Boolean).join(": "), error);
  }
  const { plugin, api, entry } = data.strata;
  if (!semver.satisfies(API_VERSION, api)) {
    throw failure("PLUGIN_INCOMPATIBLE", { plugin, wanted: api, version: API_VERSION });
  }
  return {
    plugin,
    api,
    origin: `${data.name} ${data.version}`,
    entry: await moduleOf(found.path, entry, broken),
  };
}

/** The module's real path, inside of the package; nobody else may be able to put code there. */
async function moduleOf(
  path: string,
  entry: string,
  broken: (reason: string, cause?: unknown) => Error,
): Promise<string> {
  const root = await realpath(path);
  const module = await realpath(join(root, entry)).catch((error: unknown) => {
    throw broken(`strata.entry: ${entry} does not exist; is the package built?`, error);
  });
  const inside = relative(root, module);
  if (inside.startsWith("..") || isAbsolute(inside)) {
    throw broken(`strata.entry: ${entry} must be inside the package`);
  }
  for (const each of [root, module]) {
    if (((await stat(each)).mode & 0o002) !== 0) {
      throw broken(
        `${each} must not be writable by everyone, because its code runs as you; run chmod o-w on it`,
      );
    }
  }
  return module;
}

async function findPackage(wanted: string, folder: string): Promise<{ path: string; text: string }> {
  const reason = malformed(wanted);
  if (reason !== undefined) {
    throw failure("PLUGIN_ERROR", { plugin: wanted, reason });
  }
  const folders = [
    join(folder, "node_modules"),
    ...(createRequire(import.meta.url).resolve.paths(wanted) ?? []),
  ];
  const candidates = isAbsolute(wanted) ? [wanted] : folders.map((each) => join(each, wanted));
  for (const path of candidates) {
    const text = await readFile(join(path, "package.json"), "utf8").catch(() => undefined);
    if (text !== undefined) {
      return { path, text };
    }
  }
  throw isAbsolute(wanted)
    ? failure("PLUGIN_ERROR", { plugin: wanted, reason: "the folder has no package.json" })
    : failure("PLUGIN_MISSING", { package: wanted, folder });
}
