import type { Context, ImageSource, Log } from "../backend/contract.ts";
import type { ImageInfo } from "../core/api.ts";
import { asStrataError, failure } from "../errors.ts";
import { type Cache, openCache } from "./cache.ts";
import { buildDebian, type Variant } from "./debian/build.ts";
import type { DownloadOptions } from "./download.ts";
import { importImage } from "./foreign.ts";
import { isHashPrefix, parseImageName } from "./image-name.ts";
import type { ImageRecord } from "./record.ts";
import { fileSize, hashFile } from "./storage.ts";

export interface ResolvedImage {
  readonly source: ImageSource;
  readonly os: string;
  readonly release: string;
  /** The default user of guests made from it. */
  readonly username: string;
}

/** The images of a user. Every method rejects with a StrataError. */
export interface ImageStore {
  /**
   * Brings an image into the cache if it is not there: an alias, the first digits (six at least) of a
   * hash, `file:///path[#sha256=HEX]`, `http(s)://…#sha256=HEX`. Of what is there already, only images of
   * the given formats are looked at; by default qcow2.
   */
  resolve(image: string, context: Context, formats?: readonly string[]): Promise<ResolvedImage>;
  /** Newest first. */
  list(): Promise<ImageInfo[]>;
  build(options: { distribution: "debian"; variant: Variant }, context: Context): Promise<ImageInfo>;
  /** Removes an image from the cache; one that is not there is no error. `sha256` is the whole hash. */
  remove(sha256: string): Promise<void>;
}

/** `folder` is made when something is to be put into it; `download` tells how to go on after a cut. */
export function openImageStore(options: {
  folder: string;
  log: Log;
  download?: DownloadOptions;
}): ImageStore {
  const cache = openCache(options);
  return {
    resolve: (image, context, formats = ["qcow2"]) =>
      atEdge(() => resolve(cache, image, context, formats, options.download)),
    list: () =>
      atEdge(async () => {
        const infos = (await cache.records()).map((record) =>
          // One that another process removes meanwhile is no longer there to be listed.
          toInfo(cache, record).catch(() => null),
        );
        return (await Promise.all(infos)).filter((info) => info !== null);
      }),
    build: ({ variant }, context) => atEdge(() => build(cache, variant, context)),
    remove: (sha256) => atEdge(() => cache.remove(sha256)),
  };
}

async function atEdge<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asStrataError(error);
  }
}

async function toInfo(cache: Cache, record: ImageRecord): Promise<ImageInfo> {
  const { sha256, os, release, aliases, virtualSize, createdAt } = record;
  const size = await fileSize(cache.pathOf(record));
  return { sha256, os, release, aliases, size, virtualSize, createdAt };
}

async function resolve(
  cache: Cache,
  text: string,
  context: Context,
  formats: readonly string[],
  options?: DownloadOptions,
): Promise<ResolvedImage> {
  const name = parseImageName(text);
  const records = (await cache.records()).filter(({ format }) => formats.includes(format));
  const record =
    name.kind === "local"
      ? findLocal(records, name.text, formats)
      : (records.find(({ sha256 }) => sha256 === name.sha256) ??
        (await importImage(cache, text, name, context, options)));
  const { sha256, format, virtualSize, os, release, username } = record;
  return {
    source: { path: cache.pathOf(record), format, sha256, virtualSize },
    os,
    release,
    username,
  };
}

async function build(cache: Cache, variant: Variant, context: Context): Promise<ImageInfo> {
  return cache.withPartial(async (path) => {
    const { codename, ...built } = await buildDebian(variant, path, context);
    const record = await cache.adopt(path, {
      version: 1,
      sha256: await hashFile(path, context),
      ...built,
      aliases: [...new Set([`debian-${variant}`, "debian", codename, built.release])],
      createdAt: Date.now(),
      source: `built: debian ${variant}`,
    });
    return toInfo(cache, record);
  });
}

/**
 * The image of that name among records that are newest first: by alias, the full system before the micro
 * one, then by the start of its hash.
 */
export function findLocal(
  records: readonly ImageRecord[],
  text: string,
  formats: readonly string[] = ["qcow2"],
): ImageRecord {
  const wanted = text.toLowerCase();
  const named = records.filter(({ aliases }) => aliases.includes(wanted));
  const found = named.find(({ aliases }) => !aliases.includes("debian-micro")) ?? named[0];
  if (found !== undefined) return found;
  const matching = isHashPrefix(wanted) ? records.filter(({ sha256 }) => sha256.startsWith(wanted)) : [];
  if (matching.length > 1)
    throw failure("INVALID_VALUE", {
      what: "the image",
      value: text,
      reason: "several images begin like that",
    });
  if (matching[0] !== undefined) return matching[0];
  const built = /^debian(?:-(micro|cloud|container))?$/.exec(wanted);
  if (built !== null)
    throw failure("IMAGE_NOT_BUILT", { image: text, variant: variantOf(built[1], formats) });
  throw failure("IMAGE_NOT_FOUND", { image: text });
}

/** The variant to build: the one that was named, if the engine takes its format. */
function variantOf(named: string | undefined, formats: readonly string[]): string {
  if (!formats.includes("qcow2")) return "container";
  return named === undefined || named === "container" ? "cloud" : named;
}
