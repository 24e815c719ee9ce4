import { readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { fileError } from "../errors.ts";
import { flushFolder } from "../qcow2/qemu-img.ts";
import { readIfThere, removeIfThere, writeDurably } from "../storage/durable-file.ts";
import { type Operation, readOperation, type Unusable } from "./entry.ts";

/** In an instance's folder: the journal entry of the operation in progress. */
export const JOURNAL = "journal.json";
/**
 * Entries of operations that could be neither finished nor undone, named by the time at which they were set
 * aside.
 */
export const SET_ASIDE = /^journal-\d+\.json$/;

/** Earlier versions of strata know the first; they must not finish an operation on disks that they do not see. */
const VERSIONS = { one: 1, several: 2 } as const;

export interface Entry {
  readonly operation: Operation | Unusable;
  /** How often finishing it has failed. */
  readonly refusals: number;
}

/**
 * The entry in an instance's folder; undefined if there is none. Never rejects because of the file's
 * contents.
 */
export async function readJournal(folder: string): Promise<Entry | undefined> {
  const text = await readIfThere(join(folder, JOURNAL));
  return text === null ? undefined : readEntry(text);
}

export function readEntry(text: string): Entry {
  const unusable = (code: Unusable["code"], reason: string): Entry => ({
    operation: { kind: "unusable", code, reason },
    refusals: 0,
  });
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    return unusable("RECORDS_DIFFER", "its journal entry is broken: it is not JSON");
  }
  const { version, operation, refusals } = Object(read) as Record<string, unknown>;
  if (typeof version === "number" && version > VERSIONS.several) {
    return unusable("RECORD_TOO_NEW", `its journal entry has version ${version}`);
  }
  return {
    operation: readOperation(operation),
    refusals: typeof refusals === "number" ? refusals : 0,
  };
}

/** Writes the entry of what is about to be done, durably. It replaces an earlier entry. */
export async function writeJournal(folder: string, operation: Operation, refusals = 0): Promise<void> {
  const version = "disks" in operation ? VERSIONS.several : VERSIONS.one;
  const text = JSON.stringify({ version, operation, refusals });
  await writeDurably(join(folder, JOURNAL), `${text}\n`);
}

/** Removes the entry: no operation is in progress. */
export async function clearJournal(folder: string): Promise<void> {
  await removeIfThere(join(folder, JOURNAL));
}

/** Sets aside what is known about an entry that was stored elsewhere. */
export async function writeAside(folder: string, reason: string): Promise<void> {
  await writeDurably(join(folder, `journal-${Date.now()}.json`), `${JSON.stringify({ reason })}\n`);
}

/**
 * True if a merge was set aside, whose child may read through fewer layers than it needs. So may the child in
 * an entry that cannot be read.
 */
export async function isHalfMerged(folder: string): Promise<boolean> {
  const files = await readdir(folder).catch((error: unknown) => {
    throw fileError(error, folder);
  });
  for (const file of files) {
    if (!SET_ASIDE.test(file)) {
      continue;
    }
    const text = await readIfThere(join(folder, file));
    const kind = text === null ? undefined : readEntry(text).operation.kind;
    if (kind === "merge" || kind === "unusable") {
      return true;
    }
  }
  return false;
}

/** Sets the entry aside, where it can be examined and is not in the way. */
export async function setJournalAside(folder: string): Promise<void> {
  const path = join(folder, JOURNAL);
  try {
    await rename(path, join(folder, `journal-${Date.now()}.json`));
    await flushFolder(path);
  } catch (error) {
    throw fileError(error, path);
  }
}
