import { chmod, type FileHandle, mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { getSystemErrorMap } from "node:util";
import { errnoOf, failure, isStrataError, reasonOf, type StrataError } from "../errors.ts";

/** A failure to read or write at `path`, in a folder of the user's where strata keeps files, as the table has it. */
export function ownFailure(error: unknown, path: string): StrataError {
  if (isStrataError(error)) {
    return error;
  }
  const code = errnoOf(error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return failure("NO_SPACE", { where: dirname(path) }, error);
  }
  return failure("FOLDER_UNUSABLE", { path, reason: systemReason(error) }, error);
}

/** What failed, in the system's own words where it is a call of the system: Node's repeat call and path. */
export function systemReason(error: unknown): string {
  const errno = error instanceof Error && "errno" in error ? Number(error.errno) : undefined;
  const known = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  return known ?? reasonOf(error);
}

/** Runs a callback that reads or writes at `path`; rejects with FOLDER_UNUSABLE or NO_SPACE. */
export async function atOwn<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw ownFailure(error, path);
  }
}

/** The text of a file of the user's; undefined where there is none, as where a file is in the place of a folder. */
export async function readOwn(path: string, read: () => Promise<string>): Promise<string | undefined> {
  try {
    return await read();
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") {
      return undefined;
    }
    throw ownFailure(error, path);
  }
}

/**
 * Makes a folder and those above it that are missing, each with that mode whatever the umask. One that is
 * there keeps its own. Rejects with Node's errors.
 */
export async function makeFolder(path: string, mode = 0o700): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" && dirname(path) !== path) {
      await makeFolder(dirname(path), mode);
      return makeFolder(path, mode);
    }
    // Somebody else's, or one made just now by another process, which sees to its mode.
    if (code === "EEXIST" && (await stat(path).catch(() => undefined))?.isDirectory() === true) {
      return;
    }
    throw error;
  }
  await chmod(path, mode);
}

/** Opens a file that must not be there yet, with that mode whatever the umask. Rejects with Node's errors. */
export async function createFile(path: string, mode = 0o600): Promise<FileHandle> {
  const file = await open(path, "wx", mode);
  try {
    await file.chmod(mode);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
