import { chmod, open } from "node:fs/promises";
import { dirname } from "node:path";
import { failure } from "../../../lib/errors.ts";
import { traced } from "../../../lib/util/trace.ts";
import { inherited } from "../lock/lock.ts";
import { requireUnpinned } from "../pins/pins.ts";
import type { Format } from "./header.ts";
import { PROGRESS, SPACE_USED_UP } from "./messages.ts";

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Descriptor of the lock under which the program runs; see `FileLock`. */
  readonly lock?: number;
  /** Called with the progress, from 0 to 1. */
  progress?(fraction: number): void;
}

/** Runs qemu-img with a list of arguments; resolves to what it printed. */
async function qemuImg(args: readonly string[], { signal, lock, progress }: RunOptions): Promise<string> {
  const { execa } = await import("execa");
  const running = traced(
    "qemu-img",
    args,
    execa("qemu-img", args, {
      stdio: ["ignore", "pipe", "pipe", ...(lock === undefined ? [] : [inherited(lock)])],
      reject: false,
      env: { LC_ALL: "C" },
      ...(signal === undefined ? {} : { cancelSignal: signal }),
    }),
  );
  if (progress !== undefined) {
    running.stdout?.on("data", (chunk) => {
      const [, percent] = PROGRESS.exec(String(chunk)) ?? [];
      if (percent !== undefined) {
        progress(Number(percent) / 100);
      }
    });
  }
  const result = await running;
  if (result.isCanceled) {
    throw failure("CANCELLED", {}, result);
  }
  if (result.code === "ENOENT") {
    throw failure("PROGRAM_MISSING", { program: "qemu-img", package: "qemu-utils" }, result);
  }
  if (result.failed) {
    const reason = String(result.stderr).trim() || String(result.shortMessage);
    if (SPACE_USED_UP.test(reason)) {
      throw failure("NO_SPACE", { where: "the storage pool" }, result);
    }
    throw failure("PROGRAM_FAILED", { program: `qemu-img ${args[0]}`, reason }, result);
  }
  return String(result.stdout);
}

/** Grows the virtual size, in bytes. */
export async function growImage(
  path: string,
  size: bigint,
  options: RunOptions,
  format: Format = "qcow2",
): Promise<void> {
  await requireUnpinned(path);
  await qemuImg(["resize", "-q", "-f", format, path, String(size)], options);
  await flush(path);
}

/**
 * Changes the backing file of `child` to `target`, further down (null: to none), and copies the data that it
 * would lose. `from` is its backing file by strata's records. The header is first set back to it: an
 * interrupted attempt may have changed the header before all data was copied, and only from the old backing
 * file does the next attempt copy everything. `from` must not change until this has returned.
 */
export async function rebase(
  child: string,
  from: BackingFile,
  target: BackingFile | null,
  options: RunOptions,
): Promise<void> {
  await repoint(child, from, options);
  const base = target === null ? ["-b", ""] : backingArguments(target);
  const quiet = options.progress === undefined ? "-q" : "-p";
  await qemuImg(["rebase", quiet, "-f", "qcow2", ...base, child], options);
  await flush(child);
}

/** Copies the data of `overlay` into its backing file. If interrupted, it starts from the beginning. */
export async function commit(overlay: string, backing: string, options: RunOptions): Promise<void> {
  await requireUnpinned(backing);
  await qemuImg(["commit", "-q", "-f", "qcow2", "-d", overlay], options);
  await flush(backing);
}

/** Changes the backing file in the header of `child` without copying data. */
export async function repoint(child: string, backing: BackingFile, options: RunOptions): Promise<void> {
  await requireUnpinned(child);
  await qemuImg(["rebase", "-q", "-u", "-f", "qcow2", ...backingArguments(backing), child], options);
}

/** Removes the backing file from the header of `child` without copying data, durably. */
export async function clearBacking(child: string, options: RunOptions): Promise<void> {
  await requireUnpinned(child);
  await qemuImg(["rebase", "-q", "-u", "-f", "qcow2", "-b", "", child], options);
  await flush(child);
}

/** A file below another one: its path if it is a qcow2 file, as every layer is. */
export type BackingFile = string | { readonly path: string; readonly format: Format };

function backingArguments(backing: BackingFile): string[] {
  const { path, format } = typeof backing === "string" ? { path: backing, format: "qcow2" } : backing;
  return ["-b", path, "-F", format];
}

/** Changes the backing file in the header of `child` to one with the same contents, durably. */
export async function pointTo(child: string, backing: BackingFile, options: RunOptions): Promise<void> {
  await repoint(child, backing, options);
  await flush(child);
}

/**
 * Copies the layer's own data into `image`, which has the contents of everything below the layer. The layer
 * and its header do not change.
 */
export async function copyInto(image: string, layer: string, options: RunOptions): Promise<void> {
  await requireUnpinned(image);
  const file = (filename: string) => ({ driver: "qcow2", file: { driver: "file", filename } });
  const top = `json:${JSON.stringify({ ...file(layer), backing: file(image) })}`;
  await qemuImg(["commit", "-q", "-d", top], options);
}

/** Writes what a file and those below it contain over `to`, compressed, as a qcow2 image that stands on nothing. */
export async function writeCompressed(
  from: { readonly path: string; readonly format: Format },
  to: string,
  options: RunOptions,
): Promise<void> {
  await qemuImg(["convert", "-p", "-c", "-f", from.format, "-O", "qcow2", from.path, to], options);
  await flush(to);
}

/** Names of QEMU's own snapshots in an image. */
export async function listInsideSnapshots(path: string, options: RunOptions): Promise<string[]> {
  const info: unknown = JSON.parse(
    await qemuImg(["info", "-U", "--output=json", "-f", "qcow2", path], options),
  );
  const { snapshots } = Object(info) as { readonly snapshots?: unknown };
  return Array.isArray(snapshots) ? snapshots.map((each: { name?: unknown }) => String(each.name)) : [];
}

/** Deletes one of QEMU's own snapshots in an image. The image itself reads as before. */
export async function deleteInsideSnapshot(path: string, name: string, options: RunOptions): Promise<void> {
  await requireUnpinned(path);
  await qemuImg(["snapshot", "-q", "-d", name, path], options);
  await flush(path);
}

/**
 * True if the file itself, not its chain, contains guest data. Locks the file meanwhile, so that no guest can
 * be started on it; `shared` only reads, and blocks nobody.
 */
export async function holdsData(path: string, options: RunOptions, shared = false): Promise<boolean> {
  const share = shared ? ["-U"] : [];
  const args = ["map", ...share, "--output=json", "-f", "qcow2", path];
  const map: unknown = JSON.parse(await qemuImg(args, options));
  return (
    Array.isArray(map) &&
    map.some(
      (extent: { depth?: number; present?: boolean }) => extent.depth === 0 && extent.present !== false,
    )
  );
}

/** What `qemu-img check` reports about one file, without its backing file. */
export interface ImageCheck {
  readonly corruptions: number;
  readonly leaks: number;
  /** Why it could not be checked; null if it was. */
  readonly failed: string | null;
}

/**
 * Checks the tables of a qcow2 file. Does not lock it, so the result is wrong for a file that is being
 * written.
 */
export function checkImage(path: string, options: RunOptions): Promise<ImageCheck> {
  const image = { driver: "qcow2", backing: null, file: { driver: "file", filename: path } };
  return runCheck(["-U", `json:${JSON.stringify(image)}`], options);
}

/** Frees leaked clusters of a qcow2 file. Fails if any other process has it open. */
export async function repairLeaks(path: string, options: RunOptions): Promise<ImageCheck> {
  await requireUnpinned(path);
  return runCheck(["-r", "leaks", "-f", "qcow2", path], options);
}

async function runCheck(args: readonly string[], { signal, lock }: RunOptions): Promise<ImageCheck> {
  const { execa } = await import("execa");
  const argv = ["check", "--output=json", ...args];
  const running = traced(
    "qemu-img",
    argv,
    execa("qemu-img", argv, {
      stdio: ["ignore", "pipe", "pipe", ...(lock === undefined ? [] : [inherited(lock)])],
      // There may be millions of lines, one for each missing cluster. The first is enough.
      buffer: { stderr: false },
      reject: false,
      env: { LC_ALL: "C" },
      ...(signal === undefined ? {} : { cancelSignal: signal }),
    }),
  );
  let reason = "";
  running.stderr.on("data", (chunk) => {
    if (reason.length < LONGEST_REASON) {
      reason += String(chunk);
    }
  });
  const result = await running;
  if (result.isCanceled) {
    throw failure("CANCELLED", {}, result);
  }
  if (result.code === "ENOENT") {
    throw failure("PROGRAM_MISSING", { program: "qemu-img", package: "qemu-utils" }, result);
  }
  const found = parseCheck(result.stdout);
  if (found !== null) {
    return found;
  }
  const [first = ""] = reason.slice(0, LONGEST_REASON).split("\n");
  // Without an exit code it was killed, which says nothing about the file.
  if (result.exitCode === undefined) {
    throw failure(
      "PROGRAM_FAILED",
      { program: "qemu-img check", reason: String(result.shortMessage) },
      result,
    );
  }
  return { corruptions: 0, leaks: 0, failed: first };
}

/** Characters. */
const LONGEST_REASON = 500;

/** The output of `qemu-img check --output=json`; null for anything else. */
export function parseCheck(printed: string): ImageCheck | null {
  try {
    const report: unknown = JSON.parse(printed);
    if (typeof report !== "object" || report === null) {
      return null;
    }
    const count = (key: string) => {
      const value: unknown = Reflect.get(report, key);
      return typeof value === "number" ? value : 0;
    };
    const errors = count("check-errors");
    return {
      corruptions: count("corruptions"),
      leaks: count("leaks"),
      failed: errors === 0 ? null : `${errors} errors while it was read`,
    };
  } catch {
    return null;
  }
}

/** Removes access for group and others, and makes the file and its name durable. */
export async function secure(path: string): Promise<void> {
  await chmod(path, 0o600);
  await flush(path);
}

/** Makes a file's contents and its entry in the folder durable. */
export async function flush(path: string): Promise<void> {
  await sync(path);
  await flushFolder(path);
}

/** Makes a file's entry in its folder durable. */
export async function flushFolder(path: string): Promise<void> {
  await sync(dirname(path));
}

async function sync(path: string): Promise<void> {
  await using file = await open(path, "r");
  await file.sync();
}
