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
  /** What there is of a chunk, for V8; undefined where there is none that may be believed. */
  find(chunk: string): Buffer | undefined;
  /** Keeps what V8 has compiled of a chunk by the end of this process, if that is more than what is kept. */
  keep(chunk: string, script: Script): void;
}

/** What is first in the file, as JSON filled up with spaces to `HEADER` bytes. */
interface Index {
  /** The commands whose code is in it. */
  readonly commands: readonly string[];
  /** Offset behind the index and length, bytes, of what there is of each chunk. */
  readonly chunks: Readonly<Record<string, readonly [number, number]>>;
}

interface Kept extends Index {
  read(chunk: string): Buffer | undefined;
}

const HEADER = 8192;
/** Most words that are taken for commands: the first of a command line may be anything. */
const COMMANDS = 100;
/** A cache, also of earlier versions, or what a run that was killed while it wrote one has left of it. */
const NAME = /^(?:main|strata)-[0-9A-Za-z]+(?:\.js)?-.*\.cache(?<partial>\.[\d-]+)?$/;
/** No run takes as long to write one, ms. */
const WRITTEN = 60_000;

/**
 * Opens the cache of the bundle with that hash: compiling it takes longer than most commands have to do. V8
 * refuses a cache of another version or of other flags by itself, and code that is not in it is compiled as
 * ever, so whatever is wrong with the file only costs time. But V8 runs what is in it: a file that somebody
 * else could have written is not read.
 */
export function openCodeCache(build: string, argv: readonly string[]): CodeCache {
  // Measuring which code runs needs all of it to be compiled.
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
      // V8 refuses none or all, unless the file is broken.
      const usable = [...scripts.values()].every(({ cachedDataRejected }) => cachedDataRejected !== true);
      const before = (usable ? kept : undefined) ?? EMPTY;
      if (hasMore(before, command, scripts)) {
        write(folder, path, [...new Set([...before.commands, command])], piecesOf(before, scripts));
      }
    } catch {
      // A home that cannot be written, a full disk: the next run compiles again.
    }
  });
  return {
    find(chunk) {
      try {
        return kept?.read(chunk);
      } catch {
        // A disk that cannot be read any more.
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

/** The file stays open, for the chunks that are still to come. */
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

/** What is in an open file; undefined where it is broken, or others could have written it. */
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
  // As `sudo` may leave it: root's files in a user's home would be in that user's way.
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
  // Ids of processes come again, and containers that share a home have the same ones.
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
  // Other bundles are other versions of strata: their caches are made again where they are still used.
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

/** Ms since the file was written; 0 where it is gone. */
function age(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? 0 : Date.now() - found.mtimeMs;
}

/** Who owns the folder or, where it is not there, the nearest one above it. */
function ownerOf(folder: string): number {
  const found = statSync(folder, { throwIfNoEntry: false });
  return found === undefined ? ownerOf(dirname(folder)) : found.uid;
}
