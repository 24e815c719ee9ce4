import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Script } from "node:vm";
import { defaultFolders } from "../lib/settings/folders.ts";

/** What V8 made of the chunks of a bundle in earlier runs, in one file. */
export interface CodeCache {
  /** The code of a chunk, for V8; undefined if there is none that can be trusted. */
  find(chunk: string): Buffer | undefined;
  /** Keeps what V8 has compiled of a chunk by the end of this process, if that is more than what is kept. */
  keep(chunk: string, script: Script): void;
}

/** The beginning of the file, as JSON padded with spaces to `HEADER` bytes. */
interface Index {
  /** The commands whose code is in the cache. */
  readonly commands: readonly string[];
  /** Offset and length in bytes of the code of each chunk. */
  readonly chunks: Readonly<Record<string, readonly [number, number]>>;
}

interface Kept extends Index {
  read(chunk: string): Buffer | undefined;
}

const HEADER = 8192;
/** Maximum number of words that count as commands: the first word of a command line may be anything. */
const COMMANDS = 100;
/** A cache, of this or an earlier version, or a partial one left by a run that was killed while writing. */
const NAME = /^(?:main|strata)-[0-9A-Za-z]+(?:\.js)?-.*\.cache(?<partial>\.[\d-]+)?$/;
/** Writing takes less time than this, ms. */
const WRITTEN = 60_000;

/**
 * Opens the code cache of the bundle with that hash, because compiling the bundle takes longer than most
 * commands run. V8 itself rejects a cache of another version or with other flags, and compiles code that is
 * not in the cache. So a bad cache only costs time. But V8 runs what is in it, so a file that another user
 * could have written is not read.
 */
export function openCodeCache(build: string, argv: readonly string[]): CodeCache {
  // Coverage needs all code to be compiled.
  if (process.env.NODE_V8_COVERAGE || process.env.NODE_DISABLE_COMPILE_CACHE) {
    return NONE;
  }
  const folder = join(defaultFolders().cache, "code");
  const path = join(folder, `strata-${build}-${process.version}-${process.arch}.cache`);
  const kept = open(path);
  const command = argv.find((word) => /^[a-z][a-z-]{0,20}$/.test(word)) ?? "";
  const scripts = new Map<string, Script>();
  process.once("exit", () => {
    try {
      // V8 rejects all of it or nothing, unless the file is broken.
      const usable = [...scripts.values()].every(({ cachedDataRejected }) => cachedDataRejected !== true);
      const before = (usable ? kept : undefined) ?? EMPTY;
      if (hasMore(before, command, scripts)) {
        write(folder, path, [...new Set([...before.commands, command])], piecesOf(before, scripts));
      }
    } catch {
      // The home may be read-only or the disk full: the next run compiles again.
    }
  });
  return {
    find(chunk) {
      try {
        return kept?.read(chunk);
      } catch {
        // The disk may have become unreadable.
        return undefined;
      }
    },
    keep: (chunk, script) => scripts.set(chunk, script),
  };
}

const NONE: CodeCache = { find: () => undefined, keep() {} };
const EMPTY: Kept = { commands: [], chunks: {}, read: () => undefined };

/** Whether this run has compiled what the cache does not have, and the cache has room for it. */
function hasMore(
  { commands, chunks }: Index,
  command: string,
  scripts: ReadonlyMap<string, Script>,
): boolean {
  const isKnown = commands.includes(command) && [...scripts.keys()].every((chunk) => chunk in chunks);
  return !isKnown && commands.length < COMMANDS;
}

/** The code of every chunk: as it was kept, or as this run has compiled it. */
function piecesOf(before: Kept, scripts: ReadonlyMap<string, Script>): Map<string, Buffer> {
  const pieces = new Map<string, Buffer>();
  for (const chunk of Object.keys(before.chunks)) {
    const piece = before.read(chunk);
    if (piece !== undefined) {
      pieces.set(chunk, piece);
    }
  }
  for (const [chunk, script] of scripts) {
    pieces.set(chunk, script.createCachedData());
  }
  return pieces;
}

/** The file stays open for chunks that are loaded later. */
function open(path: string): Kept | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return undefined;
  }
  const kept = keptIn(file);
  if (kept === undefined) {
    closeSync(file);
  }
  return kept;
}

/** Reads the index of an open file; undefined if it is broken or another user could have written it. */
function keptIn(file: number): Kept | undefined {
  const read = (length: number, position: number) => {
    const bytes = Buffer.allocUnsafe(length);
    readSync(file, bytes, 0, length, position);
    return bytes;
  };
  try {
    const { uid, mode, size } = fstatSync(file);
    if (uid !== process.geteuid?.() || (mode & 0o022) !== 0) {
      return undefined;
    }
    const index: Index = JSON.parse(read(HEADER, 0).toString("latin1"));
    const places = Object.values(index.chunks);
    const whole =
      Array.isArray(index.commands) &&
      places.every(([offset, length]) => offset >= HEADER && length >= 0) &&
      Math.max(HEADER, ...places.map(([offset, length]) => offset + length)) === size;
    if (!whole) {
      return undefined;
    }
    return {
      ...index,
      read(chunk) {
        const place = index.chunks[chunk];
        return place === undefined ? undefined : read(place[1], place[0]);
      },
    };
  } catch {
    return undefined;
  }
}

function write(
  folder: string,
  path: string,
  commands: readonly string[],
  pieces: ReadonlyMap<string, Buffer>,
): void {
  // This can happen with `sudo`: files of root would be in the way of the home's user.
  if (ownerOf(folder) !== process.geteuid?.()) {
    return;
  }
  const chunks: Record<string, [number, number]> = {};
  let size = HEADER;
  for (const [chunk, { length }] of pieces) {
    chunks[chunk] = [size, length];
    size += length;
  }
  const index = JSON.stringify({ commands, chunks } satisfies Index).padEnd(HEADER);
  if (index.length > HEADER) {
    return;
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // Process ids are reused, and containers that share a home use the same ones.
  const partial = `${path}.${process.pid}-${Date.now()}`;
  const file = openSync(partial, "wx", 0o600);
  try {
    fchmodSync(file, 0o600);
    writeSync(file, Buffer.concat([Buffer.from(index, "latin1"), ...pieces.values()]));
    fsyncSync(file);
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
  // Other bundles belong to other versions of strata, which write their caches again if they are still used.
  for (const name of readdirSync(folder)) {
    const other = join(folder, name);
    const match = NAME.exec(name);
    if (match === null || other === path) {
      continue;
    }
    if (match.groups?.partial !== undefined && age(other) < WRITTEN) {
      continue;
    }
    rmSync(other, { force: true });
  }
}

/** Milliseconds since the file was written; 0 if it does not exist. */
function age(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? 0 : Date.now() - found.mtimeMs;
}

/** Owner of the folder or, if it does not exist, of the nearest existing one above it. */
function ownerOf(folder: string): number {
  const found = statSync(folder, { throwIfNoEntry: false });
  return found === undefined ? ownerOf(dirname(folder)) : found.uid;
}
