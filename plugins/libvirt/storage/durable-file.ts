import { open, readFile, rename, unlink } from "node:fs/promises";
import { newUuid } from "../../../lib/util/uuid.ts";
import { fileError, isAbsent } from "../errors.ts";
import { flushFolder } from "../qcow2/qemu-img.ts";

/** Suffix of a file that is being written. The next command removes what an interrupted one has left. */
export const TEMPORARY = /^\.[0-9a-zA-Z._%-]+\.[0-9a-f-]{36}\.new$/;

/**
 * Replaces a file atomically: a reader sees the old contents or the new ones, even after a power cut. Only its
 * owner can read it.
 */
export async function writeDurably(path: string, contents: string | Uint8Array): Promise<void> {
  const at = path.lastIndexOf("/") + 1;
  const temporary = `${path.slice(0, at)}.${path.slice(at)}.${newUuid()}.new`;
  try {
    {
      await using file = await open(temporary, "wx", 0o600);
      // The umask may have reduced the mode above.
      await file.chmod(0o600);
      await file.writeFile(contents);
      await file.sync();
    }
    await rename(temporary, path);
    await flushFolder(path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw fileError(error, path);
  }
}

/** The text of a file; null if it does not exist. */
export async function readIfThere(path: string): Promise<string | null> {
  return readFile(path, "utf8").catch((error: unknown) => {
    if (isAbsent(error)) {
      return null;
    }
    throw fileError(error, path);
  });
}

/** Removes a file, if it exists. */
export async function removeIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (!isAbsent(error)) {
      throw fileError(error, path);
    }
  });
}
