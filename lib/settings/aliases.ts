import { randomUUID } from "node:crypto";
import { readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { failure } from "../errors.ts";
import { atOwn, createFile, makeFolder, readOwn } from "../util/own-files.ts";

/** A command in an instance under a name on this host. */
export interface Alias {
  /** Name of the instance that it runs in. */
  readonly instance: string;
  /** The command that is run, without arguments. */
  readonly command: string;
  /** "map" to run in the guest's folder that shows the caller's folder, if it is mounted. */
  readonly workingDirectory: "map" | "default";
}

/** All aliases of the user. */
export interface Aliases {
  /** Context that is used if none is named. */
  readonly active: string;
  /** Aliases by name, by context. */
  readonly contexts: Readonly<Record<string, Readonly<Record<string, Alias>>>>;
}

const NONE: Aliases = { active: "default", contexts: {} };

/** Reads the file; a missing one has no aliases, an invalid one is an error. */
export async function readAliases(path: string): Promise<Aliases> {
  const text = await readOwn(path, () => readFile(path, "utf8"));
  if (text === undefined) {
    return NONE;
  }
  const { z } = await import("zod");
  const alias = z.object({
    instance: z.string(),
    command: z.string(),
    workingDirectory: z.enum(["map", "default"]),
  });
  const contexts = z.record(z.string(), z.record(z.string(), alias));
  try {
    return z.object({ active: z.string(), contexts }).parse(JSON.parse(text));
  } catch (error) {
    const reason = "must contain valid aliases; fix or remove the file";
    throw failure("INVALID_VALUE", { what: "the aliases file", value: path, reason }, error);
  }
}

/** Writes the file as a whole, readable only by its owner. */
export async function writeAliases(path: string, aliases: Aliases): Promise<void> {
  const { default: writeFileAtomic } = await import("write-file-atomic");
  await atOwn(path, async () => {
    await makeFolder(dirname(path));
    await writeFileAtomic(path, `${JSON.stringify(aliases, null, 2)}\n`, { mode: 0o600 });
  });
}

/** Finds an alias by its name in the active context, or by `CONTEXT.ALIAS`. */
export function findAlias(
  { active, contexts }: Aliases,
  name: string,
): { readonly context: string; readonly name: string; readonly alias: Alias } | undefined {
  const at = (context: string, inner: string) => {
    const aliases = Object.hasOwn(contexts, context) ? contexts[context] : undefined;
    const alias = aliases !== undefined && Object.hasOwn(aliases, inner) ? aliases[inner] : undefined;
    return alias === undefined ? undefined : { context, name: inner, alias };
  };
  const dot = name.indexOf(".");
  return at(active, name) ?? (dot === -1 ? undefined : at(name.slice(0, dot), name.slice(dot + 1)));
}

/** Identifies a script as ours. */
const MARK = "# An alias of strata, kept by `strata alias` and `strata unalias`.";

/**
 * Makes the scripts in the folder match the aliases: `ALIAS` for those of the active context, and
 * `CONTEXT.ALIAS` for all. Files that are not ours are left alone; resolves to the names that they block.
 */
export async function writeScripts(folder: string, { active, contexts }: Aliases): Promise<string[]> {
  const wanted = namesOf({ active, contexts });
  const there = await readdir(folder).catch(() => []);
  if (wanted.size === 0 && there.length === 0) {
    return [];
  }
  const blocked: string[] = [];
  const missing = new Set(wanted);
  for (const name of there) {
    const isOurs = (await readFile(join(folder, name), "utf8").catch(() => "")).includes(`\n${MARK}\n`);
    if (isOurs && !wanted.has(name)) {
      await rm(join(folder, name));
    } else if (missing.delete(name) && !isOurs) {
      blocked.push(name);
    }
  }
  await makeFolder(folder);
  for (const name of missing) {
    await writeScript(folder, name);
  }
  return blocked;
}

function namesOf({ active, contexts }: Aliases): Set<string> {
  const names = Object.entries(contexts).flatMap(([context, aliases]) =>
    Object.keys(aliases).flatMap((name) => [`${context}.${name}`, ...(context === active ? [name] : [])]),
  );
  return new Set(names);
}

async function writeScript(folder: string, name: string): Promise<void> {
  const draft = join(folder, `.${randomUUID()}`);
  try {
    await using file = await createFile(draft, 0o700);
    await file.writeFile(`#!/bin/sh\n${MARK}\nexec strata '${name}' "$@"\n`);
    await rename(draft, join(folder, name));
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
