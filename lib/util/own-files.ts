import { chmod, type FileHandle, mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { getSystemErrorMap } from "node:util";
import { errnoOf, failure, isStrataError, reasonOf, type StrataError } from "../errors.ts";

/**
 * The error of the table for a failure to read or write at `path`, in a folder of the user where strata keeps
 * files.
 */
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

/** The reason in the system's own words if it was a system call: Node's message repeats call and path. */
export function systemReason(error: unknown): string {
  const errno = error instanceof Error && "errno" in error ? Number(error.errno) : undefined;
  const known = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  return known ?? reasonOf(error);
}

/** Calls a function that reads or writes at `path`; rejects with FOLDER_UNUSABLE or NO_SPACE. */
export async function atOwn<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw ownFailure(error, path);
  }
}

/**
 * The text of a file of the user; undefined if there is none, as when a parent is a file and not a folder.
 */
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
 * Creates a folder and its missing parents, each with that mode regardless of the umask. An existing one
 * keeps its mode. Rejects with Node's errors.
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
    // It belongs to another user, or another process has just created it and sets its mode.
    if (code === "EEXIST" && (await stat(path).catch(() => undefined))?.isDirectory() === true) {
      return;
    }
    throw error;
  }
  await chmod(path, mode);
}

/**
 * Creates a file that must not exist yet, with that mode regardless of the umask. Rejects with Node's errors.
 */
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
