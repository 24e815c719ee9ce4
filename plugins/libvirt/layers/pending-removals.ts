import { readFileSync } from "node:fs";
import { utimes } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { removeIfThere, writeDurably } from "../storage/durable-file.ts";
import { statIfThere } from "../storage/file-version.ts";

/** In an instance's folder: the layers that strata's own operations have let go. */
export const PENDING_REMOVALS = "released.json";

const VERSION = 1;

/** What tells a file from one that was put in its place, and from itself once it was written. */
export interface Stamp {
  readonly inode: number;
  /** Milliseconds, whole. */
  readonly modified: number;
}

/** A layer that was let go, as its file was then. */
export interface PendingRemoval extends Stamp {
  /** Name in the folder. */
  readonly file: string;
  /** Files elsewhere that stand on it, absolute. */
  readonly above: readonly string[];
}

/**
 * The layers of a folder that may be merged or removed, by absolute path. That nothing names a layer is no leave to
 * take it away: a record may be lost, a definition edited. Only what a deletion, a restore or a take of strata's let
 * go may go, and this file says so before the act. One that cannot be read lets nothing go.
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
 * Notes that a layer in the folder may be merged or removed, with what stands on it elsewhere. `stamp` is the file's
 * when it was decided, where that was before now.
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

/** The stamp of a file as it is now; undefined where there is none. */
export function stampOf(path: string): Stamp | undefined {
  const found = statIfThere(path);
  return found === undefined ? undefined : { inode: found.ino, modified: Math.floor(found.mtimeMs) };
}

/** Takes layers off the list: those that are gone, and those that something needs again. */
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

/** A stamp as a journal entry has it; "" where there is no file. */
export function stampText(path: string): string {
  const stamp = stampOf(path);
  return stamp === undefined ? "" : `${stamp.inode}:${stamp.modified}`;
}

/** The stamp of a journal entry; undefined where it has none, as those of earlier versions. */
export function parseStamp(text = ""): Stamp | undefined {
  const [, inode, modified] = /^(\d+):(\d+)$/.exec(text) ?? [];
  return inode === undefined ? undefined : { inode: Number(inode), modified: Number(modified) };
}

/** True unless the file has been written or replaced since it was let go. */
export function isUnchanged(path: string, { inode, modified }: Stamp): boolean {
  const found = statIfThere(path);
  // Times are set with less precision than they are told.
  return found !== undefined && found.ino === inode && Math.abs(found.mtimeMs - modified) < 2;
}

/**
 * Gives a layer that strata's own merge has written the time that it had when it was let go: it may go as before. That
 * takes no room, unlike another note.
 */
export async function keepPending(path: string): Promise<void> {
  const known = readPendingRemovals(dirname(path)).get(path);
  const found = statIfThere(path);
  if (known === undefined || found?.ino !== known.inode) {
    return;
  }
  await utimes(path, found.atimeMs / 1000, known.modified / 1000);
}

/** Runs work that rewrites a layer's header and not what it holds: it is as it was let go also after that. */
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
