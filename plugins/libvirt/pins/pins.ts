import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf, failure, isStrataError } from "../../../lib/errors.ts";
import { createFile } from "../../../lib/util/own-files.ts";
import { newUuid } from "../../../lib/util/uuid.ts";
import { fileError, isAbsent } from "../errors.ts";
import { lockFile } from "../lock/lock.ts";

/** In an instance's folder: a file for each process that reads layers, perhaps for hours. */
export const PINS = "pins";

/** Layers that a reader needs as they are, until it is disposed of or every process with the descriptor has ended. */
export interface Pin extends AsyncDisposable {
  readonly descriptor: number;
}

/**
 * Pins files: until the pin is gone, no layer among them is changed or removed, whatever else is done with the
 * instance. The caller has locked the instance, so that nobody is changing one.
 */
export async function pin(folder: string, paths: readonly string[]): Promise<Pin> {
  const pins = join(folder, PINS);
  const path = join(pins, `${newUuid()}.json`);
  try {
    await mkdir(pins, { mode: 0o700, recursive: true });
    await using file = await createFile(path);
    await file.writeFile(`${JSON.stringify({ version: 1, paths })}\n`);
  } catch (error) {
    throw fileError(error, path);
  }
  const lock = await lockFile(path, { name: path, wait: 0, shared: true });
  return {
    descriptor: lock.descriptor,
    async [Symbol.asyncDispose]() {
      await remove(path);
      await lock[Symbol.asyncDispose]();
      await removeFolder(pins);
    },
  };
}

/**
 * The one question of everybody who changes or removes a layer: which files somebody reads. Pins of readers that have
 * died are removed. The caller has locked the instance.
 */
export async function readPinned(folder: string): Promise<ReadonlySet<string>> {
  const pins = join(folder, PINS);
  if (!existsSync(pins)) {
    return new Set();
  }
  const files = await readdir(pins).catch((error: unknown) => {
    if (isAbsent(error)) {
      return [];
    }
    throw fileError(error, pins);
  });
  const found = await Promise.all(files.map((file) => readPin(join(pins, file))));
  if (found.every((paths) => paths.length === 0)) {
    await removeFolder(pins);
  }
  return new Set(found.flat());
}

/** Rejects with BUSY if somebody reads the file. */
export async function requireUnpinned(path: string): Promise<void> {
  if ((await readPinned(dirname(path))).has(path)) {
    throw failure("LAYER_PINNED", { path });
  }
}

/** Rejects with BUSY if somebody reads a file of the folder. */
export async function requireNoPins(folder: string): Promise<void> {
  const [path] = await readPinned(folder);
  if (path !== undefined) {
    throw failure("LAYER_PINNED", { path });
  }
}

/** The files of one pin; none if its reader is dead. */
async function readPin(path: string): Promise<readonly string[]> {
  if (await isDead(path)) {
    await remove(path);
    return [];
  }
  try {
    const { paths } = Object(JSON.parse(await readFile(path, "utf8"))) as { readonly paths?: unknown };
    return Array.isArray(paths) ? paths.filter((each) => typeof each === "string") : [];
  } catch (error) {
    // Its reader has ended meanwhile.
    if (isAbsent(error)) {
      return [];
    }
    throw error instanceof SyntaxError
      ? failure("RECORDS_DIFFER", { name: path, reason: "a reader's pin is not JSON" }, error)
      : fileError(error, path);
  }
}

/** True if no process has the file locked. */
async function isDead(path: string): Promise<boolean> {
  if (!existsSync(path)) {
    return true;
  }
  try {
    const lock = await lockFile(path, { name: path, wait: 0 });
    await lock[Symbol.asyncDispose]();
    return true;
  } catch (error) {
    if (isStrataError(error) && error.code === "BUSY") {
      return false;
    }
    throw error;
  }
}

async function removeFolder(pins: string): Promise<void> {
  await rmdir(pins).catch((error: unknown) => {
    if (!isAbsent(error) && errnoOf(error) !== "ENOTEMPTY") {
      throw fileError(error, pins);
    }
  });
}

async function remove(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (!isAbsent(error)) {
      throw fileError(error, path);
    }
  });
}
