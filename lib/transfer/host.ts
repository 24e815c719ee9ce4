import { isUtf8 } from "node:buffer";
import { randomUUID } from "node:crypto";
import { createReadStream, createWriteStream, type Stats } from "node:fs";
import {
  chmod,
  type FileHandle,
  lstat,
  lutimes,
  mkdir,
  open,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  utimes,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { errnoOf, failure, isStrataError, reasonOf, type StrataError } from "../errors.ts";
import { requireSpace } from "../util/free-space.ts";
import { bodyLength, type Entry, type FileEntry, PERMISSIONS } from "./entry.ts";
import { findExtents, placed, readExtents } from "./sparse.ts";

/** Bytes of all files at a path of this host. Rejects with FILE_NOT_FOUND. */
export async function measureHost(path: string): Promise<bigint> {
  const found = await stat(path).catch((error: unknown) => {
    throw transferError(path, error);
  });
  if (!found.isDirectory()) {
    return bytesOf(found);
  }
  let total = 0n;
  for (const entry of await readdir(path, { withFileTypes: true, encoding: "buffer" })) {
    const name = textOf(entry.name);
    if (name === undefined) {
      continue;
    }
    const below = join(path, name);
    if (entry.isDirectory()) {
      total += await measureHost(below);
    } else if (entry.isFile()) {
      total += bytesOf(await lstat(below));
    }
  }
  return total;
}

/** What a block of `Stats.blocks` has, bytes. */
const STAT_BLOCK = 512;

/** True where a file takes less room than it has bytes. */
function isSparse({ size, blocks }: Stats): boolean {
  return blocks * STAT_BLOCK < size;
}

/** Bytes that are to be sent of a file, about. */
function bytesOf(found: Stats): bigint {
  return BigInt(isSparse(found) ? found.blocks * STAT_BLOCK : found.size);
}

/**
 * The entries at a path of this host. A link is followed if it is the path itself, and copied below it.
 * Anything else than files, folders and links is passed to `skipped`, and so are names that are not UTF-8.
 */
export async function* readHost(path: string, skipped: Skipped): AsyncGenerator<Entry> {
  yield* walk(path, "", await stat(path), skipped);
}

/** Hears what is not read, and whether for its name or for what it is. */
type Skipped = (path: string, why: "name" | "kind") => void;

/** Bytes as a text, or undefined where they are no UTF-8. */
function textOf(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString() : undefined;
}

async function* walk(path: string, inner: string, found: Stats, skipped: Skipped): AsyncGenerator<Entry> {
  const common = { path: inner, mode: found.mode & PERMISSIONS, modified: found.mtimeMs / 1000 };
  if (found.isDirectory()) {
    yield { ...common, kind: "folder" };
    yield* walkFolder(path, inner, skipped);
  } else if (found.isSymbolicLink()) {
    const target = textOf(await readlink(path, { encoding: "buffer" }));
    if (target === undefined) {
      return skipped(path, "name");
    }
    yield { ...common, kind: "link", target };
  } else if (found.isFile() && isSparse(found)) {
    yield* sparseFile(path, common, found.size);
  } else if (found.isFile()) {
    const { size } = found;
    // A file that grows meanwhile is sent with its original length.
    const body = size === 0 ? Readable.from([]) : createReadStream(path, { end: size - 1 });
    try {
      yield { ...common, kind: "file", size, body };
    } finally {
      body.destroy();
    }
  } else {
    skipped(path, "kind");
  }
}

async function* walkFolder(path: string, inner: string, skipped: Skipped): AsyncGenerator<Entry> {
  for (const bytes of (await readdir(path, { encoding: "buffer" })).sort(Buffer.compare)) {
    const name = textOf(bytes);
    const below = join(path, name ?? bytes.toString());
    if (name === undefined) {
      skipped(below, "name");
    } else {
      yield* walk(below, inner === "" ? name : `${inner}/${name}`, await lstat(below), skipped);
    }
  }
}

async function* sparseFile(
  path: string,
  common: Pick<FileEntry, "path" | "mode" | "modified">,
  size: number,
): AsyncGenerator<Entry> {
  await using file = await open(path);
  const extents = await findExtents(path, file, size);
  const body = Readable.from(readExtents(file, extents), { objectMode: false });
  try {
    yield { ...common, kind: "file", size, extents, body };
  } finally {
    body.destroy();
  }
}

/**
 * Writes entries below `path`, which becomes the first of them. A file appears under its name when it is
 * complete; existing folders keep their mode. Nothing is written through a link.
 */
export async function writeHost(
  path: string,
  entries: AsyncIterable<Entry>,
  signal: AbortSignal,
): Promise<void> {
  const made: Entry[] = [];
  try {
    for await (const entry of entries) {
      const place = join(path, entry.path);
      if (entry.kind === "folder") {
        if (await makeFolder(place, entry.path === "")) {
          made.push(entry);
        }
      } else {
        await replace(place, (draft) => write(draft, entry, signal));
      }
    }
  } catch (error) {
    throw signal.aborted ? failure("CANCELLED", {}, signal.reason) : transferError(path, error);
  } finally {
    // At the end, deepest first: a folder may forbid writing, and writing into it changes its time.
    for (const { path: inner, mode, modified } of made.reverse()) {
      const place = join(path, inner);
      await chmod(place, mode);
      await utimes(place, modified, modified);
    }
  }
}

/** True if the folder was not there before. */
async function makeFolder(path: string, linkAllowed: boolean): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") {
      throw error;
    }
    const found = await (linkAllowed ? stat(path) : lstat(path));
    if (found.isDirectory()) {
      return false;
    }
    throw failure("TRANSFER_FAILED", { path, reason: "something else with this name exists" });
  }
}

async function write(
  draft: string,
  entry: Exclude<Entry, { kind: "folder" }>,
  signal: AbortSignal,
): Promise<void> {
  const { modified } = entry;
  if (entry.kind === "link") {
    await symlink(entry.target, draft);
    return lutimes(draft, modified, modified);
  }
  await writeBody(draft, entry, signal);
  await chmod(draft, entry.mode);
  await utimes(draft, modified, modified);
}

/** Space is checked beforehand for files of at least this size; the last of many smaller ones may not fit. */
const LARGE = 1024 ** 2;

async function writeBody(draft: string, entry: FileEntry, signal: AbortSignal): Promise<void> {
  const { body, size, extents } = entry;
  const length = bodyLength(entry);
  if (length >= LARGE) {
    await requireSpace(dirname(draft), BigInt(length));
  }
  if (extents !== undefined) {
    await using file = await open(draft, "wx", 0o600);
    for await (const { offset, bytes } of placed(body, extents)) {
      signal.throwIfAborted();
      await writeAll(file, bytes, offset);
    }
    return file.truncate(size);
  }
  await pipeline(body, createWriteStream(draft, { flags: "wx", mode: 0o600 }), { signal });
}

async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}

/** Creates something under a temporary name, then renames it. */
async function replace(path: string, make: (draft: string) => Promise<void>): Promise<void> {
  const there = await lstat(path).catch(() => undefined);
  if (there !== undefined && !there.isFile() && !there.isSymbolicLink()) {
    throw failure("TRANSFER_FAILED", {
      path,
      reason: there.isDirectory() ? "a folder with this name exists" : "it exists and is not a file",
    });
  }
  const draft = join(dirname(path), `.strata-${randomUUID()}`);
  try {
    await make(draft);
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    // The name that the user typed.
    if (error instanceof Error && "path" in error && error.path === draft) {
      error.path = path;
    }
    throw error;
  }
}

/** The error of the table for a failure with files of this host. */
export function transferError(path: string, error: unknown): StrataError {
  if (isStrataError(error)) {
    return error;
  }
  const named = error instanceof Error && "path" in error ? String(error.path) : path;
  const reason = reasonOf(error);
  switch (errnoOf(error)) {
    case "ENOENT":
    case "ENOTDIR":
      return failure("FILE_NOT_FOUND", { path: named }, error);
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return failure("PERMISSION_DENIED", { reason: named }, error);
    case "ENOSPC":
    case "EDQUOT":
      return failure("NO_SPACE", { where: named }, error);
    default:
      return failure("TRANSFER_FAILED", { path: named, reason }, error);
  }
}
