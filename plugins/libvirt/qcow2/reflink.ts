import { chmod, constants, copyFile } from "node:fs/promises";
import { removeLayer } from "../layers/layers.ts";
import { newPartialPath } from "../layers/names.ts";

/**
 * Makes `to` a reflink of `from`, readable only by its owner: both share blocks until either is written.
 * Rejects with the file system's error if that is not supported, and then leaves nothing behind.
 */
export async function cloneFile(from: string, to: string): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
  await chmod(to, 0o600);
}

/** True if a file in the folder can be a reflink of `from`. The only way to find out is to try. */
export async function canClone(from: string, folder: string): Promise<boolean> {
  const trial = newPartialPath(folder);
  try {
    await cloneFile(from, trial);
    return true;
  } catch {
    return false;
  } finally {
    await removeLayer(folder, trial);
  }
}
