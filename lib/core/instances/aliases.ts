import { join } from "node:path";
import { checkEach } from "../../errors/check-each.ts";
import { failure } from "../../errors.ts";
import {
  type Alias,
  type Aliases,
  findAlias,
  readAliases,
  writeAliases,
  writeScripts,
} from "../../settings/aliases.ts";
import { lockFile } from "../../util/file-lock.ts";
import { nearDetail } from "../../util/nearest.ts";
import { atOwn, makeFolder } from "../../util/own-files.ts";
import { locate } from "../session/engines.ts";
import type { Session } from "../session/session.ts";
import { getInstance } from "./instances.ts";

/** How long one client waits for another that changes the aliases, ms. */
const LOCK_TIMEOUT_MS = 10_000;

/** It is the name of a script, so it must be neither a path nor an option. */
const ALIAS = /^[A-Za-z0-9_+][A-Za-z0-9_+.-]{0,62}$/;
/** A dot would end the name of a context. */
const CONTEXT = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}$/;

const pathOf = ({ folders }: Session) => join(folders.config, "aliases.json");

/** The folder with a script for each alias. */
export function scriptsFolder({ folders }: Pick<Session, "folders">): string {
  return join(folders.data, "bin");
}

export async function aliases(session: Session): Promise<Aliases> {
  return readAliases(pathOf(session));
}

/** Adds an alias to the active context. Rejects with ALIAS_EXISTS. */
export async function addAlias(session: Session, name: string, alias: Alias): Promise<void> {
  if (!ALIAS.test(name)) {
    throw failure("INVALID_VALUE", {
      what: "the name of an alias",
      value: name,
      reason: "must be letters, digits, _ + . and -, and must not begin with . or -",
    });
  }
  if (alias.command === "" || alias.command.includes("\0")) {
    throw failure("USAGE", { reason: "an alias must name a command: give NAME:COMMAND" });
  }
  await getInstance(await locate(session, alias.instance), alias.instance);
  await change(session, (before) => {
    const context = Object.hasOwn(before.contexts, before.active)
      ? before.contexts[before.active]
      : undefined;
    if (Object.hasOwn(context ?? {}, name)) {
      throw failure("ALIAS_EXISTS", { name, context: before.active });
    }
    return { ...before, contexts: { ...before.contexts, [before.active]: { ...context, [name]: alias } } };
  });
}

/** Removes aliases of the active context, or `CONTEXT.ALIAS`. An unknown one fails the request before any is removed. */
export async function removeAliases(session: Session, names: readonly string[]): Promise<void> {
  await change(session, async (before) => {
    await checkEach(names, async (name) => {
      if (findAlias(before, name) === undefined) {
        throw failure("ALIAS_NOT_FOUND", { name, ...(await nearDetail(name, () => namesOf(before))) });
      }
    });
    const gone = names.map((name) => findAlias(before, name));
    return without(before, (context, name) =>
      gone.some((each) => each?.context === context && each.name === name),
    );
  });
}

/** Every name that leads to an alias. */
function namesOf({ active, contexts }: Aliases): string[] {
  return Object.entries(contexts).flatMap(([context, inner]) =>
    Object.keys(inner).flatMap((name) => [...(context === active ? [name] : []), `${context}.${name}`]),
  );
}

/** Makes a context the active one; it need not have aliases yet. */
export async function preferContext(session: Session, context: string): Promise<void> {
  if (!CONTEXT.test(context)) {
    throw failure("INVALID_VALUE", {
      what: "the name of a context",
      value: context,
      reason: "must be letters, digits, _ and -, and must not begin with -",
    });
  }
  await change(session, (before) => ({ ...before, active: context }));
}

/** Removes the aliases of purged instances. */
export async function forgetAliases(session: Session, instances: readonly string[]): Promise<void> {
  const concerned = (all: Aliases) =>
    Object.values(all.contexts).some((context) =>
      Object.values(context).some(({ instance }) => instances.includes(instance)),
    );
  if (!concerned(await aliases(session))) {
    return;
  }
  await change(session, (before) => without(before, (_, __, { instance }) => instances.includes(instance)));
}

/** Has the aliases of an instance follow it to another name. */
export async function renameInAliases(session: Session, name: string, to: string): Promise<void> {
  const { contexts } = await aliases(session);
  const all = Object.values(contexts).flatMap((context) => Object.values(context));
  if (!all.some(({ instance }) => instance === name)) {
    return;
  }
  const renamed = (alias: Alias) => (alias.instance === name ? { ...alias, instance: to } : alias);
  await change(session, (before) => ({ ...before, contexts: mapAliases(before.contexts, renamed) }));
}

function mapAliases(contexts: Aliases["contexts"], map: (alias: Alias) => Alias): Aliases["contexts"] {
  const each = <T, R>(record: Readonly<Record<string, T>>, make: (value: T) => R): Record<string, R> =>
    Object.fromEntries(Object.entries(record).map(([key, value]) => [key, make(value)]));
  return each(contexts, (context) => each(context, map));
}

/** The same without these aliases, and without contexts that become empty. */
function without(
  { active, contexts }: Aliases,
  gone: (context: string, name: string, alias: Alias) => boolean,
): Aliases {
  const kept = Object.entries(contexts).map(([context, inner]) => {
    const left = Object.entries(inner).filter(([name, alias]) => !gone(context, name, alias));
    return [context, Object.fromEntries(left)] as const;
  });
  return { active, contexts: Object.fromEntries(kept.filter(([, inner]) => Object.keys(inner).length > 0)) };
}

async function change(
  session: Session,
  make: (before: Aliases) => Aliases | Promise<Aliases>,
): Promise<void> {
  const path = pathOf(session);
  const scripts = scriptsFolder(session);
  await using _lock = await atOwn(path, async () => {
    await makeFolder(session.folders.config);
    return lockFile(`${path}.lock`, { name: "the aliases", wait: LOCK_TIMEOUT_MS });
  });
  const after = await make(await readAliases(path));
  await writeAliases(path, after);
  for (const name of await atOwn(scripts, () => writeScripts(scripts, after))) {
    session.log.warn(`no script was written for "${name}": ${scripts} contains another file with that name`);
  }
}
