import { once } from "node:events";
import { createReadStream } from "node:fs";
import { access, link, rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { failure, isStrataError } from "../errors.ts";
import { systemReason } from "../util/own-files.ts";

/**
 * Creates a file of the user's, which is there only once it is complete. One that exists is never written over. `fill`
 * writes the file that it is given, and resolves to false if that is not to be kept.
 */
export async function asNewFile(path: string, fill: (partial: string) => Promise<boolean>): Promise<void> {
  await access(path).then(
    () => {
      throw failure("INVALID_VALUE", { what: "the file", value: path, reason: "must not exist yet" });
    },
    () => {},
  );
  const partial = `${path}.${process.pid}.partial`;
  try {
    if (await fill(partial)) {
      // Unlike a rename, a link never replaces what is there.
      await link(partial, path);
    }
  } catch (error) {
    throw isStrataError(error)
      ? error
      : failure("TRANSFER_FAILED", { path, reason: systemReason(error) }, error);
  } finally {
    await rm(partial, { force: true });
  }
}

/** Opens a file of the user's; rejects with FILE_NOT_FOUND. */
export async function openFile(path: string): Promise<Readable> {
  const file = createReadStream(path);
  await once(file, "open").catch((error: unknown) => {
    throw failure("FILE_NOT_FOUND", { path }, error);
  });
  return file;
}
