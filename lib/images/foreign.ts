import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { Context } from "../engine/contract.ts";
import { failure } from "../errors.ts";
import { publicName } from "../util/http.ts";
import type { Cache, CachedImage } from "./cache.ts";
import { USERNAME } from "./catalogue/remotes.ts";
import { type DownloadOptions, download } from "./download.ts";
import { guessRelease } from "./guessed-release.ts";
import type { ImageName } from "./image-name.ts";
import { takeIn, takeInOnce } from "./intake.ts";
import { copyHashed, hashFile } from "./storage.ts";

/** Brings an image that strata did not build into the cache, from the file or URL that the user gave. */
export async function importImage(
  cache: Cache,
  image: string,
  name: Extract<ImageName, { kind: "file" | "url" }>,
  context: Context,
  options?: DownloadOptions,
): Promise<CachedImage> {
  const { sha256 } = name;
  const facts = { username: USERNAME, aliases: [] };
  if (name.kind === "file") {
    const { path: source } = name;
    await requireFile(image, source);
    const fetch = (path: string) => copyHashed(source, path, context);
    return takeIn(
      cache,
      { image, sha256, fetch, facts: { ...facts, ...guessRelease(basename(source)), source } },
      context,
    );
  }
  const { url } = name;
  if (sha256 === undefined) {
    throw failure("CHECKSUM_REQUIRED", { image });
  }
  const fetch = async (path: string) => {
    await download(url, path, context, options);
    return hashFile(path, context);
  };
  return takeInOnce(
    cache,
    {
      image,
      sha256,
      fetch,
      facts: { ...facts, ...guessRelease(basename(url.pathname)), source: publicName(url) },
    },
    context,
  );
}

/** A folder is not an image, and reading from a pipe could wait forever. */
export async function requireFile(image: string, path: string): Promise<void> {
  const found = await stat(path).catch((error) => {
    throw failure("FILE_NOT_FOUND", { path }, error);
  });
  if (!found.isFile()) {
    throw failure("IMAGE_UNREADABLE", { image, reason: "it is not a file" });
  }
}
