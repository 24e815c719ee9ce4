import { type FileLock, type FileLockOptions, lockFile as lock } from "../../../lib/util/file-lock.ts";
import { fileError } from "../errors.ts";

export type { FileLock, FileLockOptions };

/**
 * A descriptor of ours as one of a child's. execa passes any number on, but its types know numbers for
 * the first three descriptors only.
 */
export function inherited(descriptor: number): "inherit" {
  return descriptor as unknown as "inherit";
}

/** `lockFile` of lib, with what keeps the file from being opened mapped to the table. */
export async function lockFile(path: string, options: FileLockOptions): Promise<FileLock> {
  return lock(path, options).catch((error: unknown) => {
    throw fileError(error, path);
  });
}
