import { basename, dirname, join } from "node:path";
import { newUuid } from "../../../lib/util/uuid.ts";
import { removeIfThere } from "../storage/durable-file.ts";

/** Names of files with the memory of a guest, each of one snapshot. */
export const MEMORY_NAME = /^memory-[0-9a-f-]{36}\.save$/;

/** A new path for the memory of a snapshot. File names are never reused. */
export function newMemoryPath(folder: string): string {
  return join(folder, `memory-${newUuid()}.save`);
}

/** Removes the memory of a snapshot that is not there. Whatever strata did not name so in the folder stays. */
export async function removeMemory(folder: string, path: string | undefined): Promise<void> {
  if (path !== undefined && dirname(path) === folder && MEMORY_NAME.test(basename(path))) {
    await removeIfThere(path);
  }
}
