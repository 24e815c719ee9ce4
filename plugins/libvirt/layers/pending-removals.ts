import { readFileSync } from "node:fs";
import { utimes } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { removeIfThere, writeDurably } from "../storage/durable-file.ts";
import { statIfThere } from "../storage/file-version.ts";

/** In an instance's folder: the layers that strata may merge or remove. */
export const PENDING_REMOVALS = "released.json";

const VERSION = 1;

/** Identifies a file: differs for another file in its place, and after it has been written. */
export interface Stamp {
  readonly inode: number;
  /** Whole milliseconds. */
  readonly modified: number;
}

/** A layer that may be removed, with its stamp from when that was decided. */
export interface PendingRemoval extends Stamp {
  /** Its name in the folder. */
  readonly file: string;
  /** Files elsewhere that stand on it, absolute paths. */
  readonly above: readonly string[];
}

/**
 * The layers in a folder that may be merged or removed, by absolute path. That nothing refers to a layer does
 * not prove that it can go: a record may be lost, or a definition edited. Only layers given up by a deletion,
 * restore or take of strata's own may go, and this file says so before the operation begins. If it cannot be
 * read, nothing is removed.
 */
export type PendingRemovals = ReadonlyMap<string, PendingRemoval>;

export function readPendingRemovals(folder: string): PendingRemovals {
  try {
    return parsePendingRemovals(folder, readFileSync(join(folder, PENDING_REMOVALS), "utf8"));
  } catch {
    return new Map();
  }
}

export function parsePendingRemovals(folder: string, text: string): PendingRemovals {
  const { version, layers } = Object(JSON.parse(text)) as Record<string, unknown>;
  if (version !== VERSION || !Array.isArray(layers)) {
    return new Map();
  }
  return new Map(layers.filter(isPendingRemoval).map((each) => [join(folder, each.file), each]));
}

function isPendingRemoval(value: unknown): value is PendingRemoval {
  const { file, inode, modified, above } = Object(value) as Record<string, unknown>;
  return (
    typeof file === "string" &&
    file === basename(file) &&
    !["", ".", ".."].includes(file) &&
    typeof inode === "number" &&
    typeof modified === "number" &&
    Array.isArray(above) &&
    above.every((path) => typeof path === "string")
  );
}

async function writePendingRemovals(folder: string, removals: readonly PendingRemoval[]): Promise<void> {
  const path = join(folder, PENDING_REMOVALS);
  if (removals.length > 0) {
    return writeDurably(path, `${JSON.stringify({ version: VERSION, layers: removals })}\n`);
  }
  await removeIfThere(path);
}

/**
 * Records that a layer in the folder may be merged or removed, with the files elsewhere that stand on it.
 * `stamp` is the file's stamp when that was decided, if that was earlier.
 */
export async function addPendingRemoval(
  path: string,
  above: readonly string[] = [],
  stamp = stampOf(path),
): Promise<void> {
  if (stamp === undefined) {
    return;
  }
  const folder = dirname(path);
  const others = [...readPendingRemovals(folder).values()].filter(({ file }) => file !== basename(path));
  const { inode, modified } = stamp;
  await writePendingRemovals(folder, [...others, { file: basename(path), inode, modified, above }]);
}

/** The current stamp of a file; undefined if it does not exist. */
export function stampOf(path: string): Stamp | undefined {
  const found = statIfThere(path);
  return found === undefined ? undefined : { inode: found.ino, modified: Math.floor(found.mtimeMs) };
}

/** Takes layers off the list: those that are gone, and those that are needed again. */
export async function cancelRemoval(folder: string, paths: Iterable<string>): Promise<void> {
  const pendingRemovals = readPendingRemovals(folder);
  const gone = new Set(paths);
  const kept = [...pendingRemovals].filter(([path]) => !gone.has(path));
  if (kept.length === pendingRemovals.size) {
    return;
  }
  await writePendingRemovals(
    folder,
    kept.map(([, removal]) => removal),
  );
}

/** A stamp as written in a journal entry; "" if the file does not exist. */
export function stampText(path: string): string {
  const stamp = stampOf(path);
  return stamp === undefined ? "" : `${stamp.inode}:${stamp.modified}`;
}

/** The stamp in a journal entry; undefined if it has none, as in earlier versions. */
export function parseStamp(text = ""): Stamp | undefined {
  const [, inode, modified] = /^(\d+):(\d+)$/.exec(text) ?? [];
  return inode === undefined ? undefined : { inode: Number(inode), modified: Number(modified) };
}

/** True if the file has not been written or replaced since the stamp was made. */
export function isUnchanged(path: string, { inode, modified }: Stamp): boolean {
  const found = statIfThere(path);
  // Times are set with less precision than they are read.
  return found !== undefined && found.ino === inode && Math.abs(found.mtimeMs - modified) < 2;
}

/**
 * Gives a layer that strata's own merge has written its recorded time back, so that it can still be removed.
 * Unlike recording it again, that takes no space.
 */
export async function keepPending(path: string): Promise<void> {
  const known = readPendingRemovals(dirname(path)).get(path);
  const found = statIfThere(path);
  if (known === undefined || found?.ino !== known.inode) {
    return;
  }
  await utimes(path, found.atimeMs / 1000, known.modified / 1000);
}

/** Runs `work`, which rewrites a layer's header but not its contents, and keeps the layer's stamp valid. */
export async function keepingTimes<T>(path: string, work: () => Promise<T>): Promise<T> {
  const before = statIfThere(path);
  const known = before === undefined ? undefined : readPendingRemovals(dirname(path)).get(path);
  const kept = known !== undefined && isUnchanged(path, known);
  const value = await work();
  if (before !== undefined && kept) {
    await utimes(path, before.atimeMs / 1000, before.mtimeMs / 1000);
  }
  return value;
}
