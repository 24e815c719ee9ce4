import { resolve } from "node:path";
import type { Context } from "../engine/contract.ts";
import { failure, isStrataError } from "../errors.ts";
import type { Cache, CachedImage } from "./cache.ts";
import type { DownloadOptions } from "./download.ts";
import { importImage } from "./foreign.ts";
import { type ImageName, parseImageName } from "./image-name.ts";
import { BUILT_NAMES, findCached } from "./local.ts";
import { checkImageName, isTaken, named, requireFree, suggestedName, whileNaming } from "./naming.ts";
import { resolvePublished } from "./published.ts";

/** Where an image is put, and all images on this host, whose names it must not have. */
interface Places {
  readonly own: Cache;
  readonly all: Cache;
  readonly download?: DownloadOptions | undefined;
}

/** The newest version of a published image, downloaded if it is not here. */
export async function pull(
  parts: Parameters<typeof resolvePublished>[0],
  image: string,
  context: Context,
): Promise<CachedImage> {
  const name = parseImageName(image);
  if (name.kind !== "alias") {
    throw failure("USAGE", {
      reason: "pull takes the name of a published image; import takes files and URLs",
    });
  }
  if (name.remote === undefined && BUILT_NAMES.includes(name.text.toLowerCase())) {
    throw failure("USAGE", {
      reason: `no remote publishes "${image}": \`strata image build debian\` builds it`,
    });
  }
  return resolvePublished(parts, image, name, context);
}

/**
 * Adds an image from a file or URL. One that is here already only gets the name. Rejects with IMAGE_EXISTS if
 * another image has it, and adds nothing then.
 */
export async function addImage(
  { own, all, download }: Places,
  image: string,
  wanted: string | undefined,
  context: Context,
): Promise<CachedImage> {
  const source = sourceOf(image);
  if (wanted !== undefined) {
    checkImageName(wanted);
  }
  const before = await all.records();
  if (wanted !== undefined && source.sha256 !== undefined) {
    requireFree(before, wanted, source.sha256);
  }
  const added = await importImage(own, image, source, context, download);
  try {
    return await whileNaming(own, context, async () => {
      const alias = wanted ?? aliasFor(source, added, await all.records());
      return alias === undefined ? added : await addName({ own, all }, added, alias);
    });
  } catch (error) {
    if (!before.some(({ sha256, system }) => sha256 === added.sha256 && system === added.system)) {
      await own.remove(added);
    }
    throw error;
  }
}

/** Anything that is not a URL is a file. */
function sourceOf(image: string): Exclude<ImageName, { kind: "alias" }> {
  const name = parseImageName(image);
  return name.kind === "alias" ? { kind: "file", path: resolve(image), sha256: undefined } : name;
}

/** The name of the file, for an image without one, unless it is taken. */
function aliasFor(
  source: Exclude<ImageName, { kind: "alias" }>,
  { aliases, sha256 }: CachedImage,
  records: readonly CachedImage[],
): string | undefined {
  const name = suggestedName(source.kind === "file" ? source.path : source.url.pathname);
  return name === undefined || aliases.length > 0 || isTaken(records, name, sha256) ? undefined : name;
}

async function addName({ own, all }: Places, image: CachedImage, alias: string): Promise<CachedImage> {
  if (image.published === undefined && image.aliases.includes(alias)) {
    return image;
  }
  requireFree(await all.records(), alias, image.sha256);
  return own.rewrite(
    image,
    named(image, image.published === undefined ? [...image.aliases, alias] : [alias]),
  );
}

/** Gives an image a name in the place of those that it has; a published one is the user's own then. */
export async function renameImage(
  { own, all }: Places,
  image: string,
  name: string,
  system: boolean,
  context: Context,
): Promise<CachedImage> {
  checkImageName(name);
  return whileNaming(own, context, async () => {
    const records = await all.records();
    const found = await findIn(records, image, system);
    requireFree(records, name, found.sha256);
    return own.rewrite(found, named(found, [name]));
  });
}

/** The image of that name among the user's own, or among those for all users. */
export async function findIn(
  records: readonly CachedImage[],
  text: string,
  system: boolean,
): Promise<CachedImage> {
  try {
    return await findCached(
      records.filter((record) => record.system === system),
      text,
    );
  } catch (error) {
    const elsewhere = records.filter((record) => record.system !== system);
    const there = await findCached(elsewhere, text).catch(() => undefined);
    if (there === undefined || !isStrataError(error) || error.code !== "IMAGE_NOT_FOUND") {
      throw error;
    }
    const reason = system
      ? `"${text}" is an image of your own: leave out --system`
      : `"${text}" is kept for all users of this host: give --system, as root`;
    throw failure("USAGE", { reason });
  }
}
