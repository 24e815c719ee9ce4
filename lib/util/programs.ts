import { access } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { failure } from "../errors.ts";
import { traced } from "./trace.ts";

/** Additional folders for programs: ordinary users' PATH often lacks the sbin folders. */
const MORE_FOLDERS = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/** Limits for a program that reads a stranger's file. It has no network either, if the host allows that. */
export interface Limits {
  /** Address space, bytes. */
  readonly memory: number;
  /** Processor time, s. */
  readonly seconds: number;
  /** The largest file that it may write, bytes; by default any. */
  readonly file?: number;
}

export interface RunOptions {
  readonly signal?: AbortSignal;
  readonly cwd?: string;
  readonly input?: string;
  /** Debian package of the program, for the hint. */
  readonly package?: string;
  /** ms. */
  readonly timeout?: number;
  /** The signal that ends it on cancellation and time-out; SIGTERM by default. */
  readonly killSignal?: NodeJS.Signals;
  readonly limits?: Limits;
}

/**
 * Runs a program with a list of arguments; resolves to its standard output. Rejects with errors of the table.
 */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { execa } = await import("execa");
  const [file, argv] = await commandOf(program, args, options);
  const result = await traced(file, argv, execa(file, argv, settingsOf(options)));
  requireSuccess(program, options, result);
  return String(result.stdout);
}

/**
 * Starts a program whose output is too long to be kept. `read` gets its standard output. Resolves to the
 * result of `read` once the program has ended; if `read` rejects, the program is ended.
 */
export async function runReading<T>(
  program: string,
  args: readonly string[],
  options: RunOptions,
  read: (output: Readable) => Promise<T>,
): Promise<T> {
  const { execa } = await import("execa");
  const [file, argv] = await commandOf(program, args, options);
  const settings = { ...settingsOf(options), buffer: { stdout: false }, encoding: "buffer" } as const;
  const child = traced(file, argv, execa(file, argv, settings));
  let value: T;
  try {
    value = await read(child.stdout);
  } catch (error) {
    child.kill();
    await child;
    throw error;
  }
  requireSuccess(program, options, await child);
  return value;
}

/**
 * Starts a program, reads at most the first `length` bytes of its output, then ends it. Fewer bytes mean that
 * it had no more, or that it failed.
 */
export async function readStart(
  program: string,
  args: readonly string[],
  options: RunOptions,
  length: number,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let done = 0;
  const enough = new Error("enough was read");
  const read = async (output: Readable) => {
    for await (const piece of output) {
      pieces.push(piece);
      done += piece.length;
      if (done >= length) {
        throw enough;
      }
    }
  };
  await runReading(program, args, options, read).catch((error: unknown) => {
    if (error !== enough) {
      throw error;
    }
  });
  return Buffer.concat(pieces).subarray(0, length);
}

async function commandOf(
  program: string,
  args: readonly string[],
  { limits }: RunOptions,
): Promise<[string, string[]]> {
  if (limits === undefined) {
    return [program, [...args]];
  }
  const { memory, seconds, file } = limits;
  const most = [`--as=${memory}`, `--cpu=${seconds}`, ...(file === undefined ? [] : [`--fsize=${file}`])];
  const [first = "prlimit", ...prefix] = [...(await offline()), "prlimit"];
  return [first, [...prefix, ...most, program, ...args]];
}

/** The two ways to get a network namespace: root's, and that of other users, which hosts may forbid. */
const OFFLINE = [
  ["unshare", "--net"],
  ["unshare", "--user", "--map-current-user", "--net"],
] as const;
let way: Promise<readonly string[]> | undefined;

/** The command prefix that starts a program without a network; empty if none works. */
function offline(): Promise<readonly string[]> {
  way ??= (async () => {
    const { execa } = await import("execa");
    for (const each of OFFLINE) {
      const [unshare, ...options] = each;
      const tried = await execa(unshare, [...options, "true"], { reject: false, stdio: "ignore" });
      if (!tried.failed) {
        return each;
      }
    }
    return [];
  })();
  return way;
}

function settingsOf({ signal, cwd, input, timeout, killSignal }: RunOptions) {
  return {
    reject: false as const,
    env: { LC_ALL: "C", PATH: [process.env.PATH, ...MORE_FOLDERS].join(":") },
    ...(signal === undefined ? {} : { cancelSignal: signal }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(killSignal === undefined ? {} : { killSignal }),
    ...(input === undefined ? { stdin: "ignore" as const } : { input }),
  };
}

/** What execa reports about a program that has ended, as far as needed here. */
interface Ended {
  readonly failed: boolean;
  readonly isCanceled: boolean;
  readonly code?: string | undefined;
  readonly exitCode?: number | undefined;
  readonly stderr?: unknown;
  readonly shortMessage?: string | undefined;
}

function requireSuccess(program: string, options: RunOptions, result: Ended): void {
  if (result.isCanceled) {
    throw failure("CANCELLED", {}, result);
  }
  const { limits, cwd } = options;
  // Both programs that precede it are part of util-linux.
  if (result.code === "ENOENT" && limits !== undefined) {
    throw failure("PROGRAM_MISSING", { program: "prlimit", package: "util-linux" }, result);
  }
  if (result.code === "ENOENT" || (limits !== undefined && result.exitCode === 127)) {
    throw failure("PROGRAM_MISSING", { program, package: options.package ?? program }, result);
  }
  if (!result.failed) {
    return;
  }
  const { stderr } = result;
  const told = (stderr instanceof Uint8Array ? Buffer.from(stderr).toString() : String(stderr ?? "")).trim();
  const reason = told.split("\n").slice(-5).join("\n") || String(result.shortMessage);
  if (/No space left on device/.test(reason)) {
    throw failure("NO_SPACE", { where: cwd ?? program }, result);
  }
  throw failure("PROGRAM_FAILED", { program, reason }, result);
}

/** Rejects with PROGRAM_MISSING, naming all missing ones, unless every program exists. */
export async function requirePrograms(packages: Readonly<Record<string, string>>): Promise<void> {
  const folders = [...(process.env.PATH ?? "").split(":").filter(Boolean), ...MORE_FOLDERS];
  const missing: string[] = [];
  for (const program of Object.keys(packages)) {
    const places = folders.map((folder) => access(join(folder, program)));
    if (!(await Promise.allSettled(places)).some(({ status }) => status === "fulfilled")) {
      missing.push(program);
    }
  }
  if (missing.length === 0) {
    return;
  }
  const wanted = [...new Set(missing.map((program) => packages[program] ?? program))];
  throw failure("PROGRAM_MISSING", { program: missing.join(", "), package: wanted.join(" ") });
}
