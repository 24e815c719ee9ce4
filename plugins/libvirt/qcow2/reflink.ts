import { chmod, constants, copyFile } from "node:fs/promises";
import { newPartialPath, removeLayer } from "../layers/layers.ts";

/**
 * Makes `to` a file with the contents of `from` on the same blocks, readable by its owner alone: either
 * gets blocks of its own where it is written later. Rejects with the file system's error where that does
 * not do it, and leaves nothing then.
 */
export async function cloneFile(from: string, to: string): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
  await chmod(to, 0o600);
}

/** True where a file in the folder can be cloned from `from`; whether it can, only doing it tells. */
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
