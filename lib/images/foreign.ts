import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { Context } from "../backend/contract.ts";
import { failure } from "../errors.ts";
import { run } from "../programs.ts";
import type { Cache } from "./cache.ts";
import { type DownloadOptions, download, publicName } from "./download.ts";
import { guessRelease } from "./guessed-release.ts";
import type { ImageName } from "./image-name.ts";
import { inspectImage } from "./inspect.ts";
import type { ImageRecord } from "./record.ts";
import { copyHashed, hashFile } from "./storage.ts";

/** User of images that do not say. */
export const USERNAME = "ubuntu";

/** An image that somebody else made, by the name that the user gave it. */
type Foreign = Extract<ImageName, { kind: "file" | "url" }>;

/**
 * Brings an image of somebody else's into the cache, after a look at it; a raw one becomes qcow2. It is
 * named by the hash of what came, converted or not, so that the same `#sha256=` finds it again.
 */
export async function importImage(
  cache: Cache,
  text: string,
  name: Foreign,
  context: Context,
  options?: DownloadOptions,
): Promise<ImageRecord> {
  return cache.withPartial(async (path) => {
    const sha256 = await fetchImage(text, name, path, context, options);
    if (name.sha256 !== undefined && sha256 !== name.sha256)
      throw failure("CHECKSUM_MISMATCH", { image: text, actual: sha256, expected: name.sha256 });
    context.progress({ phase: "Verifying image" });
    const { format, virtualSize } = await inspectImage(text, path, context.signal);
    const record: ImageRecord = {
      version: 1,
      format: "qcow2",
      sha256,
      ...guessRelease(basename(name.kind === "file" ? name.path : name.url.pathname)),
      username: USERNAME,
      aliases: [],
      virtualSize,
      createdAt: Date.now(),
      source: name.kind === "file" ? name.path : publicName(name.url),
    };
    if (format === "qcow2") return cache.adopt(path, record);
    return cache.withPartial(async (converted) => {
      context.progress({ phase: "Converting image" });
      await run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", path, converted], {
        signal: context.signal,
        package: "qemu-utils",
      });
      const { virtualSize: size } = await inspectImage(text, converted, context.signal);
      return cache.adopt(converted, { ...record, virtualSize: size });
    });
  });
}

/** Resolves to the SHA-256 of what is then at `path`. */
async function fetchImage(
  text: string,
  name: Foreign,
  path: string,
  context: Context,
  options?: DownloadOptions,
): Promise<string> {
  if (name.kind === "file") {
    await requireFile(text, name.path);
    return copyHashed(name.path, path, context);
  }
  if (name.sha256 === undefined) throw failure("CHECKSUM_REQUIRED", { image: text });
  await download(name.url, path, context, options);
  return hashFile(path, context);
}

/** A folder is no image, and a pipe would be waited for without end. */
async function requireFile(image: string, path: string): Promise<void> {
  const found = await stat(path).catch((error) => {
    throw failure("FILE_NOT_FOUND", { path }, error);
  });
  if (!found.isFile()) throw failure("IMAGE_UNREADABLE", { image, reason: "it is no file" });
}
