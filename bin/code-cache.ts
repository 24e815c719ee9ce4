import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Script } from "node:vm";
import { defaultFolders } from "../lib/settings/folders.ts";

/** What V8 made of a bundle in earlier runs. */
export interface CodeCache {
  /** For V8; undefined where there is none that may be believed. */
  readonly data: Buffer | undefined;
  /** Keeps what V8 has compiled by the end of this process, if that is more than what is kept. */
  keepAtExit(script: Script): void;
}

/** First in the file: the commands whose code is in it, as text that is filled up with spaces. */
const HEADER = 512;
/** A cache, or what a run that was killed while it wrote one has left of it. */
const NAME = /^main-[0-9A-Za-z]+\.js-.*\.cache(?<partial>\.[\d-]+)?$/;
/** No run takes as long to write one, ms. */
const WRITTEN = 60_000;

/**
 * Opens the cache of a bundle: compiling it takes longer than most commands have to do. V8 refuses a cache
 * of another version or of other flags by itself, and code that is not in it is compiled as ever, so
 * whatever is wrong with the file only costs time. But V8 runs what is in it: a file that somebody else
 * could have written is not read.
 */
export function openCodeCache(bundle: string, argv: readonly string[]): CodeCache {
  // Measuring which code runs needs all of it to be compiled.
  if (process.env.NODE_V8_COVERAGE || process.env.NODE_DISABLE_COMPILE_CACHE) return NONE;
  const folder = join(defaultFolders().cache, "code");
  const path = join(folder, `${bundle}-${process.version}-${process.arch}.cache`);
  const kept = read(path);
  const command = argv.find((word) => /^[a-z][a-z-]{0,20}$/.test(word)) ?? "";
  return {
    data: kept?.data,
    keepAtExit(script) {
      const known = script.cachedDataRejected === false ? (kept?.commands ?? []) : [];
      const commands = [...known, command];
      if (known.includes(command) || commands.join(" ").length > HEADER) return;
      process.once("exit", () => {
        try {
          write(folder, path, commands, script.createCachedData());
        } catch {
          // A home that cannot be written, a full disk: the next run compiles again.
        }
      });
    },
  };
}

const NONE: CodeCache = { data: undefined, keepAtExit() {} };

function read(path: string): { readonly commands: readonly string[]; readonly data: Buffer } | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const { uid, mode } = fstatSync(file);
    if (uid !== process.geteuid?.() || (mode & 0o022) !== 0) return undefined;
    const bytes = readFileSync(file);
    const commands = bytes.toString("latin1", 0, HEADER).trimEnd().split(" ");
    return { commands, data: bytes.subarray(HEADER) };
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function write(folder: string, path: string, commands: readonly string[], data: Buffer): void {
  // As `sudo` may leave it: root's files in a user's home would be in that user's way.
  if (ownerOf(folder) !== process.geteuid?.()) return;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // Ids of processes come again, and containers that share a home have the same ones.
  const partial = `${path}.${process.pid}-${Date.now()}`;
  const file = openSync(partial, "wx", 0o600);
  try {
    writeSync(file, Buffer.concat([Buffer.from(commands.join(" ").padEnd(HEADER), "latin1"), data]));
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
    if (match === null || other === path) continue;
    if (match.groups?.partial !== undefined && age(other) < WRITTEN) continue;
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
