import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { failure } from "../errors.ts";
import { lockFile } from "../util/file-lock.ts";
import { atOwn, makeFolder, readOwn } from "../util/own-files.ts";
import { defaultFolders } from "./folders.ts";

/** Addresses of other hosts by the names that the user has given them. */
export type Contexts = Readonly<Record<string, string>>;

/** How long another command may change them, ms. */
const LOCK_TIMEOUT_MS = 10_000;

export function contextsPath(env: NodeJS.ProcessEnv): string {
  return join(defaultFolders(env).config, "contexts.json");
}

/** Reads the file; a missing one has no contexts, an invalid one is an error. */
export async function readContexts(path: string): Promise<Contexts> {
  const found = await readOwn(path, () => readFile(path, "utf8"));
  if (found === undefined) {
    return {};
  }
  const reason = "must be a JSON object of addresses by names; fix or remove the file";
  const details = { what: "the contexts file", value: path, reason };
  let contexts: unknown;
  try {
    contexts = JSON.parse(found);
  } catch (error) {
    throw failure("INVALID_VALUE", details, error);
  }
  if (!isContexts(contexts)) {
    throw failure("INVALID_VALUE", details);
  }
  return contexts;
}

function isContexts(value: unknown): value is Contexts {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((address) => typeof address === "string")
  );
}

/** The address of a context; undefined if there is none of that name. */
export function findContext(contexts: Contexts, name: string): string | undefined {
  return Object.hasOwn(contexts, name) ? contexts[name] : undefined;
}

/** Changes the file as a whole, one command after another. */
export async function changeContexts(path: string, make: (before: Contexts) => Contexts): Promise<void> {
  const { default: writeFileAtomic } = await import("write-file-atomic");
  await atOwn(path, async () => {
    await makeFolder(dirname(path));
    await using _lock = await lockFile(`${path}.lock`, { name: "the contexts", wait: LOCK_TIMEOUT_MS });
    const after = make(await readContexts(path));
    await writeFileAtomic(path, `${JSON.stringify(after, null, 2)}\n`, { mode: 0o600 });
  });
}
