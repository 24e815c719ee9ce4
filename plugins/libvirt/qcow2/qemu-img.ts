import { chmod, open } from "node:fs/promises";
import { dirname } from "node:path";
import { failure } from "../../../lib/errors.ts";
import { inherited } from "../lock/lock.ts";

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Descriptor of the lock under which the program runs; see `FileLock`. */
  readonly lock?: number;
  /** Hears how far it is, from 0 to 1. */
  progress?(fraction: number): void;
}

/** Runs qemu-img with a list of arguments; resolves to what it printed. */
async function qemuImg(args: readonly string[], { signal, lock, progress }: RunOptions): Promise<string> {
  const { execa } = await import("execa");
  const running = execa("qemu-img", args, {
    stdio: ["ignore", "pipe", "pipe", ...(lock === undefined ? [] : [inherited(lock)])],
    reject: false,
    env: { LC_ALL: "C" },
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  if (progress !== undefined) {
    running.stdout?.on("data", (chunk) => {
      const [, percent] = /\(([\d.]+)\/100%\)\s*$/.exec(String(chunk)) ?? [];
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
    if (/No space left on device|Disk quota exceeded/.test(reason)) {
      throw failure("NO_SPACE", { where: "the storage pool" }, result);
    }
    throw failure("PROGRAM_FAILED", { program: `qemu-img ${args[0]}`, reason }, result);
  }
  return String(result.stdout);
}

/** Grows the virtual size, bytes. */
export async function growImage(path: string, size: bigint, options: RunOptions): Promise<void> {
  await qemuImg(["resize", "-q", "-f", "qcow2", path, String(size)], options);
  await flush(path);
}

/**
 * Moves `child` from its backing file to `target` further down (null: to none), copying what would be
 * lost. `from` is what it stands on by our records: the pointer is set back to it first, since an earlier
 * attempt that was killed may have switched the pointer before all was copied, and only from the old
 * place does another attempt copy everything. `from` must be unchanged until this has returned.
 */
export async function rebase(
  child: string,
  from: string,
  target: string | null,
  options: RunOptions,
): Promise<void> {
  await repoint(child, from, options);
  const base = target === null ? ["-b", ""] : ["-b", target, "-F", "qcow2"];
  const quiet = options.progress === undefined ? "-q" : "-p";
  await qemuImg(["rebase", quiet, "-f", "qcow2", ...base, child], options);
  await flush(child);
}

/** Writes what `overlay` holds into the file that it stands on. Killed, it is done again from the start. */
export async function commit(overlay: string, backing: string, options: RunOptions): Promise<void> {
  await qemuImg(["commit", "-q", "-f", "qcow2", "-d", overlay], options);
  await flush(backing);
}

/** Writes another backing file into the header of `child`, and copies nothing. */
export async function repoint(child: string, backing: string, options: RunOptions): Promise<void> {
  await qemuImg(["rebase", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "qcow2", child], options);
}

/** Writes another backing file of the same contents into the header of `child`, durably. */
export async function pointTo(child: string, backing: string, options: RunOptions): Promise<void> {
  await repoint(child, backing, options);
  await flush(child);
}

/**
 * Brings what the layer itself holds into `image`, which has the contents of all below the layer. The
 * layer and its header stay as they are.
 */
export async function copyInto(image: string, layer: string, options: RunOptions): Promise<void> {
  const file = (filename: string) => ({ driver: "qcow2", file: { driver: "file", filename } });
  const top = `json:${JSON.stringify({ ...file(layer), backing: file(image) })}`;
  await qemuImg(["commit", "-q", "-d", top], options);
}

/** Names of the snapshots that an image holds inside. */
export async function listInsideSnapshots(path: string, options: RunOptions): Promise<string[]> {
  const info: unknown = JSON.parse(
    await qemuImg(["info", "-U", "--output=json", "-f", "qcow2", path], options),
  );
  const { snapshots } = Object(info) as { readonly snapshots?: unknown };
  return Array.isArray(snapshots) ? snapshots.map((each: { name?: unknown }) => String(each.name)) : [];
}

/** Deletes a snapshot that an image holds inside. The image itself reads as before. */
export async function deleteInsideSnapshot(path: string, name: string, options: RunOptions): Promise<void> {
  await qemuImg(["snapshot", "-q", "-d", name, path], options);
  await flush(path);
}

/**
 * True when the file itself, not its chain, holds data of the guest. Locks the file meanwhile, so that no
 * guest can be started on it; `shared` is for whoever only looks, and leaves everybody else alone.
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

/** What `qemu-img check` says of one file, without what it stands on. */
export interface ImageCheck {
  readonly corruptions: number;
  readonly leaks: number;
  /** Why it could not be checked; null where it was. */
  readonly failed: string | null;
}

/** Checks the tables of a qcow2 file. Locks nothing, and says nothing that is right of one that is written. */
export function checkImage(path: string, options: RunOptions): Promise<ImageCheck> {
  const image = { driver: "qcow2", backing: null, file: { driver: "file", filename: path } };
  return runCheck(["-U", `json:${JSON.stringify(image)}`], options);
}

/** Takes leaked clusters of a qcow2 file back; fails where anything else has it open. */
export function repairLeaks(path: string, options: RunOptions): Promise<ImageCheck> {
  return runCheck(["-r", "leaks", "-f", "qcow2", path], options);
}

async function runCheck(args: readonly string[], { signal, lock }: RunOptions): Promise<ImageCheck> {
  const { execa } = await import("execa");
  const running = execa("qemu-img", ["check", "--output=json", ...args], {
    stdio: ["ignore", "pipe", "pipe", ...(lock === undefined ? [] : [inherited(lock)])],
    // A line for each cluster that is missing may be millions: the first tells enough.
    buffer: { stderr: false },
    reject: false,
    env: { LC_ALL: "C" },
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
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
  // Without an exit code it was killed, and that says nothing of the file.
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

/** What `qemu-img check --output=json` printed; null for what is none of it. */
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

/** Takes the file away from group and others and makes it and its name durable. */
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
