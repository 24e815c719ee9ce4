import type { Context, Log } from "../engine/contract.ts";
import { failure, isStrataError } from "../errors.ts";
import { nearDetail } from "../util/nearest.ts";
import type { Cache, CachedImage } from "./cache.ts";
import type { Catalogue } from "./catalogue/catalogue.ts";
import type { Manifest } from "./catalogue/manifest.ts";
import { DEFAULT_REMOTE, type Remote } from "./catalogue/remotes.ts";
import { inOrder, type PublishedImage } from "./catalogue/simplestreams.ts";
import { type DownloadOptions, download } from "./download.ts";
import { isHashPrefix } from "./image-name.ts";
import { takeInOnce } from "./intake.ts";
import { BUILT_NAMES } from "./local.ts";
import type { ImageRecord } from "./record.ts";
import { hashFile } from "./storage.ts";

export interface PublishedName {
  /** Undefined for the default remote and then the other built-in ones. */
  readonly remote: string | undefined;
  /** An alias or the start of a hash. */
  readonly text: string;
}

interface Parts {
  readonly cache: Cache;
  readonly catalogue: Catalogue;
  readonly log: Log;
  /** An older version in the cache is not good enough. */
  readonly newest?: true;
  readonly download?: DownloadOptions;
}

/** Remotes that are searched for a name without a remote. */
const SEARCHED = [DEFAULT_REMOTE, "daily"];

/**
 * The image of that name as its remote publishes it now, downloaded if it is not in the cache. If the remote
 * cannot be reached, an older version in the cache is used, with a warning. Rejects with IMAGE_NOT_FOUND,
 * REMOTE_NOT_FOUND, or the reason why the image cannot be downloaded.
 */
export async function resolvePublished(
  parts: Parts,
  image: string,
  { remote: wanted, text }: PublishedName,
  context: Context,
): Promise<CachedImage> {
  const { cache, catalogue, log } = parts;
  const names = wanted === undefined ? SEARCHED : [wanted];
  const remotes = await Promise.all(names.map((name) => catalogue.remote(name)));
  let obstacle: unknown;
  const known = new Set<string>(BUILT_NAMES);
  for (const remote of remotes) {
    const manifest = await readManifest(parts, remote, context).catch((error: unknown) => {
      if (isStrataError(error) && error.code === "CANCELLED") {
        throw error;
      }
      obstacle ??= error;
      return undefined;
    });
    const found = manifest === undefined ? undefined : findPublished(manifest, text);
    if (found !== undefined) {
      return fetchPublished(parts, image, remote, found, context);
    }
    const kept =
      manifest === undefined && parts.newest !== true
        ? await newestKept(cache, remote, { alias: text })
        : undefined;
    if (kept !== undefined) {
      log.warn(`could not check for a newer version of "${image}"; using the one in the cache`);
      return kept;
    }
    for (const alias of manifest?.images.flatMap(({ aliases }) => aliases) ?? []) {
      known.add(alias);
    }
  }
  throw obstacle ?? failure("IMAGE_NOT_FOUND", { image, ...(await nearDetail(text, () => known)) });
}

/** The manifest of a remote, with a warning if it is out of date. */
async function readManifest(
  { catalogue, log, newest }: Parts,
  remote: Remote,
  context: Context,
): Promise<Manifest> {
  const manifest = await catalogue.manifest(remote, { ...context, refresh: newest === true });
  if (manifest.outdated) {
    log.warn(`the image list of ${remote.name} may be out of date`, { reason: manifest.outdated.message });
  }
  return manifest;
}

/**
 * Finds the newest version by alias, or any version by the start of its hash. Throws INVALID_VALUE for the
 * start of several hashes.
 */
export function findPublished(
  { images }: Pick<Manifest, "images">,
  text: string,
): PublishedImage | undefined {
  const wanted = text.toLowerCase();
  const named = images.find(({ aliases }) => aliases.includes(wanted));
  if (named !== undefined || !isHashPrefix(wanted)) {
    return named;
  }
  const matching = images.filter(({ sha256 }) => sha256.startsWith(wanted));
  if (new Set(matching.map(({ sha256 }) => sha256)).size > 1) {
    throw failure("INVALID_VALUE", {
      what: "the image",
      value: text,
      reason: "must match a single image; give more of its hash",
    });
  }
  return matching[0];
}

async function fetchPublished(
  parts: Parts,
  image: string,
  remote: Remote,
  published: PublishedImage,
  context: Context,
): Promise<CachedImage> {
  const { cache, log, download: options } = parts;
  const { product, version, sha256, os, release, supported } = published;
  if (!supported) {
    log.warn(`${os} ${release} is no longer updated by its publisher`);
  }
  const url = new URL(published.url);
  url.username = remote.url.username;
  url.password = remote.url.password;
  const fetch = async (path: string) => {
    await download(url, path, context, options, { image, size: BigInt(published.size) });
    return hashFile(path, context);
  };
  const facts = {
    os,
    release,
    username: remote.username,
    aliases: [...published.aliases],
    source: published.url,
    published: { remote: remote.name, product, version },
  };
  try {
    return await takeInOnce(cache, { image, sha256, fetch, facts }, context);
  } catch (error) {
    if (!isStrataError(error) || error.code !== "DOWNLOAD_FAILED" || parts.newest === true) {
      throw error;
    }
    const kept = await newestKept(cache, remote, { product });
    if (kept === undefined) {
      throw error;
    }
    log.warn(`version ${version} of "${image}" is not available; using ${kept.published?.version}`, {
      reason: error.message,
    });
    return kept;
  }
}

/** The newest version in the cache that its remote publishes. */
async function newestKept(
  cache: Cache,
  remote: Remote,
  by: { readonly product: string } | { readonly alias: string },
): Promise<CachedImage | undefined> {
  const own = (await cache.records()).filter(({ published }) => published?.remote === remote.name);
  const same = own.filter(({ published, aliases }) =>
    "product" in by ? published?.product === by.product : aliases.includes(by.alias.toLowerCase()),
  );
  const [newest] = same.sort((a, b) => inOrder(b.published?.version ?? "", a.published?.version ?? ""));
  return newest;
}

/** True for an image that may be removed without asking, because it can be downloaded again. */
export function renewable({ published, source, aliases }: ImageRecord): boolean {
  // What the user has named is kept.
  return published !== undefined || (/^https?:/.test(source) && aliases.length === 0);
}
