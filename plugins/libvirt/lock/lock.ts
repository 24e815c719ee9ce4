import { type FileLock, type FileLockOptions, lockFile as lock } from "../../../lib/util/file-lock.ts";
import { fileError } from "../errors.ts";

export type { FileLock, FileLockOptions };

/**
 * Passes a descriptor on to a child. execa takes any number, but its types allow numbers only for the first
 * three descriptors.
 */
export function inherited(descriptor: number): "inherit" {
  return descriptor as unknown as "inherit";
}

/** `lockFile` of lib, with file system errors mapped to the table. */
export async function lockFile(path: string, options: FileLockOptions): Promise<FileLock> {
  return lock(path, options).catch((error: unknown) => {
    throw fileError(error, path);
  });
}
