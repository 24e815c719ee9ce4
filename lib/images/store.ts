import type { Context, ImageSource, Log } from "../engine/contract.ts";
import { checkEach } from "../errors/check-each.ts";
import { asStrataError, failure } from "../errors.ts";
import { type Cache, type CachedImage, openCache } from "./cache.ts";
import { type Catalogue, openCatalogue } from "./catalogue/catalogue.ts";
import { blankDisk } from "./cdrom.ts";
import { buildDebian, VARIANTS, type Variant } from "./debian/build.ts";
import { recipeOf } from "./debian/recipe.ts";
import type { DownloadOptions } from "./download.ts";
import { importImage } from "./foreign.ts";
import type { FindOptions, ImageInfo, ImageOffers } from "./image-info.ts";
import { parseImageName } from "./image-name.ts";
import { addImage, findIn, pull, renameImage } from "./keeping.ts";
import { findLocal } from "./local.ts";
import { findOffers } from "./offers.ts";
import { renewable, resolvePublished } from "./published.ts";
import type { ImageRecord } from "./record.ts";
import { findSources, type ImageSources } from "./sources.ts";
import { fileSize, hashFile } from "./storage.ts";
import { systemImages, verify, withSystemImages } from "./system-images.ts";

export interface ResolvedImage {
  readonly source: ImageSource;
  readonly os: string;
  readonly release: string;
  /** The default user of guests launched from it. */
  readonly username: string;
}

/** The images of a user. Every method rejects with a StrataError. */
export interface ImageStore {
  /**
   * Brings an image into the cache if it is not there: an alias, `REMOTE:ALIAS`, the first digits (six at
   * least) of a hash, a path, `file:///path[#sha256=HEX]`, `http(s)://…#sha256=HEX`. Of what is there already,
   * only images of the given formats are looked at, those of the first format first; by default qcow2.
   */
  resolve(image: string, context: Context, formats?: readonly string[]): Promise<ResolvedImage>;
  /** An empty qcow2 disk, for installing a system. */
  blank(context: Context): Promise<ResolvedImage>;
  /** Images that an engine with the given formats can launch; in any format if these are not known. */
  find(options: FindOptions, context: Context, formats?: readonly string[]): Promise<ImageOffers>;
  /** Newest first. */
  list(): Promise<ImageInfo[]>;
  /** Where an engine with the given formats can get images from. Asks the default remote if there are none here. */
  sources(formats: readonly string[], signal: AbortSignal): Promise<ImageSources>;
  build(
    options: { distribution: "debian"; variant: Variant; release?: string; system?: boolean },
    context: Context,
  ): Promise<ImageInfo>;
  /** Brings the newest version of a published image here. */
  pull(image: string, options: PlaceOptions, context: Context): Promise<ImageInfo>;
  /** Adds an image from a file or URL, with a name where one is given or the file suggests one. */
  import(image: string, options: PlaceOptions & { name?: string }, context: Context): Promise<ImageInfo>;
  /** Gives an image, by alias or the start of its hash, a name in the place of those that it has. */
  rename(image: string, name: string, options: PlaceOptions, context: Context): Promise<ImageInfo>;
  /** Removes images by alias or the start of a hash. Rejects with IMAGE_NOT_FOUND before anything is removed. */
  remove(names: readonly string[], options?: PlaceOptions): Promise<ImageInfo[]>;
}

export interface PlaceOptions {
  /** Among the images for all users of this host, in the place of the user's own. */
  readonly system?: boolean;
}

export interface ImageStoreOptions {
  /** Folder of the images, created when an image is added. */
  readonly folder: string;
  /** Folder of the remotes' catalogues, created when one is kept. */
  readonly catalogues: string;
  /** File with further remotes; it need not exist. */
  readonly remotesFile: string;
  /** URL of a mirror of the built-in remotes; "" for none. */
  mirror?(): string;
  /** Folder of the images that root keeps for all users; "" for none. */
  system?(): string;
  readonly log: Log;
  /** How to continue after an interruption. */
  readonly download?: DownloadOptions;
}

/** Prefix of the source of an image that was built here; the variant follows, and a release other than the host's. */
const BUILT = "built: debian ";

/** How long an image that can be downloaded again is kept after its last launch, ms. */
const UNUSED = 14 * 24 * 60 * 60 * 1000;

export function openImageStore(options: ImageStoreOptions): ImageStore {
  const { catalogues: folder, remotesFile, log, mirror = () => "" } = options;
  const own = openCache(options);
  const system = systemImages(options.system ?? (() => ""), log);
  const cache = withSystemImages(own, system);
  const catalogue = openCatalogue({ folder, remotesFile, mirror, log });
  const parts = { ...options, cache, catalogue };
  const placeOf = (place: PlaceOptions) => (place.system === true ? system.open() : own);
  return {
    resolve: (image, context, formats = ["qcow2"]) => atEdge(() => resolve(parts, image, context, formats)),
    blank: (context) => atEdge(async () => resolved(await blankDisk(cache, context))),
    find: (wanted, context, formats = ["any"]) =>
      atEdge(() =>
        findOffers(
          cache,
          catalogue,
          wanted,
          context,
          (format) => formats.includes("any") || formats.includes(format),
        ),
      ),
    list: () => atEdge(async () => infosOf(await cache.records())),
    sources: (formats, signal) => atEdge(() => findSources(cache, catalogue, formats, signal)),
    build: ({ variant, release, ...place }, context) =>
      atEdge(async () => build(await placeOf(place), variant, context, release)),
    pull: (image, place, context) =>
      atEdge(async () => {
        // What all users have need not be downloaded for one of them.
        const into = place.system === true ? await system.open() : cache;
        return infoOf(await pull({ ...parts, cache: into, newest: true }, image, context));
      }),
    import: (image, { name, ...place }, context) =>
      atEdge(async () => {
        const into = { own: await placeOf(place), all: cache, download: options.download };
        return infoOf(await addImage(into, image, name, context));
      }),
    rename: (image, name, { system: wanted = false }, context) =>
      atEdge(async () => {
        const place = await placeOf({ system: wanted });
        return infoOf(await renameImage({ own: place, all: cache }, image, name, wanted, context));
      }),
    remove: (names, { system: wanted = false } = {}) =>
      atEdge(async () => {
        const records = await cache.records();
        const chosen = [...new Set(await checkEach(names, (name) => findIn(records, name, wanted)))];
        const infos = await infosOf(chosen);
        for (const each of chosen) {
          await cache.remove(each);
        }
        return infos;
      }),
  };
}

async function atEdge<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asStrataError(error);
  }
}

/** An image that another process removes meanwhile is left out. */
async function infosOf(records: readonly CachedImage[]): Promise<ImageInfo[]> {
  const infos = records.map(async (record) => {
    const { sha256, os, release, aliases, virtualSize, createdAt, usedAt, source, system } = record;
    const outdated = outdatedVariant(record) !== null;
    const size = await fileSize(record.path).catch(() => null);
    return size === null
      ? []
      : [{ sha256, os, release, aliases, size, virtualSize, createdAt, usedAt, source, outdated, system }];
  });
  return (await Promise.all(infos)).flat();
}

async function infoOf(record: CachedImage): Promise<ImageInfo> {
  const [info] = await infosOf([record]);
  if (info === undefined) {
    throw failure("IMAGE_NOT_FOUND", { image: record.sha256 });
  }
  return info;
}

interface Parts extends ImageStoreOptions {
  readonly cache: Cache;
  readonly catalogue: Catalogue;
}

async function resolve(
  parts: Parts,
  text: string,
  context: Context,
  formats: readonly string[],
): Promise<ResolvedImage> {
  const { cache } = parts;
  const record = await bringHere(parts, text, context, formats);
  const variant = outdatedVariant(record);
  if (variant !== null) {
    parts.log.warn(
      `the image "${text}" was built by another version of strata; \`strata image build debian --variant ${variant}${releaseOption(record)}\` rebuilds it`,
    );
  }
  if (record.system) {
    await verify(record, text, parts.folder, context);
  }
  await cache.touch(record);
  await expire(parts, record.sha256);
  return resolved(record);
}

function resolved(record: CachedImage): ResolvedImage {
  const { sha256, format, virtualSize, os, release, username, path } = record;
  return { source: { path, format, sha256, virtualSize }, os, release, username };
}

async function bringHere(
  parts: Parts,
  text: string,
  context: Context,
  formats: readonly string[],
): Promise<CachedImage> {
  const { cache } = parts;
  const name = parseImageName(text);
  const all = await cache.records();
  const records = formats.flatMap((wanted) => all.filter(({ format }) => format === wanted));
  if (name.kind !== "alias") {
    return (
      records.find(({ sha256 }) => sha256 === name.sha256) ??
      importImage(cache, text, name, context, parts.download)
    );
  }
  const here = name.remote === undefined ? findLocal(records, name.text, formats) : undefined;
  if (here !== undefined) {
    return here;
  }
  // Remotes publish disks.
  if (!formats.includes("qcow2")) {
    throw failure("IMAGE_NOT_FOUND", { image: text });
  }
  return resolvePublished(parts, text, name, context);
}

/** The variant of an image whose recipe differs from the current one; null for any other image. */
function outdatedVariant({ source, recipe }: ImageRecord): Variant | null {
  const variant = VARIANTS.find((each) => source === BUILT + each || source.startsWith(`${BUILT}${each} `));
  return variant === undefined || recipe === recipeOf(variant) ? null : variant;
}

/**
 * Removes images that have not been launched for long and can be downloaded again, but never built ones or
 * images from files.
 */
async function expire({ cache, log }: Parts, inUse: string): Promise<void> {
  const limit = Date.now() - UNUSED;
  for (const record of await cache.records()) {
    if (record.system || !renewable(record) || record.usedAt > limit || record.sha256 === inUse) {
      continue;
    }
    log.info("removing an image that was not launched for 14 days", { source: record.source });
    await cache.remove(record).catch((error: unknown) => {
      if (asStrataError(error).code === "IMAGE_NOT_FOUND") {
        return;
      }
      log.warn("an image that is no longer used cannot be removed", { error: String(error) });
    });
  }
}

/** What else the command has that builds an image of another release than the host's. */
function releaseOption({ source }: ImageRecord): string {
  const release = source.slice(BUILT.length).split(" ")[1];
  return release === undefined ? "" : ` --release ${release}`;
}

async function build(cache: Cache, variant: Variant, context: Context, wanted?: string): Promise<ImageInfo> {
  return cache.withPartial(async (path) => {
    const { codename, foreign, ...built } = await buildDebian(variant, path, context, wanted);
    const source = BUILT + variant + (foreign ? ` ${codename}` : "");
    // "debian" and "debian-cloud" mean the host's own release.
    const general = foreign ? [`${codename}-${variant}`] : [`debian-${variant}`, "debian"];
    const record = await cache.adopt(path, {
      version: 1,
      sha256: await hashFile(path, context),
      ...built,
      aliases: [...new Set([...general, codename, built.release])],
      createdAt: Date.now(),
      source,
      recipe: recipeOf(variant),
    });
    return infoOf(record);
  });
}
