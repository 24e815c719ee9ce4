import type { Context } from "../engine/contract.ts";
import { asStrataError, failure, type StrataError } from "../errors.ts";
import { nearDetail } from "../util/nearest.ts";
import type { Cache } from "./cache.ts";
import type { Catalogue } from "./catalogue/catalogue.ts";
import { DEFAULT_REMOTE } from "./catalogue/remotes.ts";
import { inOrder, type PublishedImage } from "./catalogue/simplestreams.ts";
import type { FindOptions, ImageOffer, ImageOffers } from "./image-info.ts";
import { isHashPrefix, splitRemote } from "./image-name.ts";
import { BLANK, findLocal } from "./local.ts";
import type { ImageRecord } from "./record.ts";

/** An image that can be launched by name, with the words that a search finds it by. */
interface Candidate extends ImageOffer {
  /** All names, including those that are not shown. */
  readonly names: readonly string[];
  readonly sha256: string;
  readonly supported: boolean;
}

/**
 * Images that can be launched by name: those that the remotes publish, in their order, then those that were
 * built here, in formats that the engine accepts. Without a text, each release is listed once, from the first
 * remote that has it; with a text, the matches of the first remote that has any are listed. Remotes that
 * could not be asked are among the errors. Rejects with IMAGE_NOT_FOUND, REMOTE_NOT_FOUND.
 */
export async function findOffers(
  cache: Cache,
  catalogue: Catalogue,
  { text = "", unsupported = false, refresh = false }: FindOptions,
  context: Context,
  takes: (format: string) => boolean,
): Promise<ImageOffers> {
  const { remote, text: wanted } = splitRemote(text);
  const asked = remote === undefined ? await catalogue.remotes() : [await catalogue.remote(remote)];
  // Remotes publish disks.
  const remotes = takes("qcow2") ? asked : [];
  const errors: StrataError[] = [];
  const shelves: Candidate[][] = [];
  for (const each of remotes) {
    const manifest = await catalogue.manifest(each, { refresh, signal: context.signal }).catch((error) => {
      const mapped = asStrataError(error);
      if (mapped.code === "CANCELLED") {
        throw mapped;
      }
      return { images: [], outdated: mapped };
    });
    if (manifest.outdated !== null) {
      errors.push(manifest.outdated);
    }
    const newest = newestOfEach(manifest.images).map((image) => published(each.name, image));
    shelves.push(newest.sort((a, b) => inOrder(a.name, b.name)));
  }
  if (remote === undefined) {
    shelves.push(builtOnes((await cache.records()).filter(({ format }) => takes(format))));
  }
  const all = shelves.map((shelf) => shelf.filter(({ supported }) => supported || unsupported));
  const found = wanted === "" ? onceEach(all) : askedFor(text, firstMatching(all, wanted.toLowerCase()));
  if (found.length === 0 && text !== "") {
    const known = () => all.flat().flatMap(({ names }) => names);
    throw errors[0] ?? failure("IMAGE_NOT_FOUND", { image: text, ...(await nearDetail(wanted, known)) });
  }
  return {
    images: found.map(({ name, aliases, os, release, remote, version }) => ({
      name,
      aliases,
      os,
      release,
      remote,
      version,
    })),
    errors: errors.map(({ message }) => message),
  };
}

/** In a manifest, images of a product follow each other, the newest first. */
function newestOfEach(images: readonly PublishedImage[]): PublishedImage[] {
  const products = new Map<string, PublishedImage>();
  for (const image of images) {
    if (!products.has(image.product)) {
      products.set(image.product, image);
    }
  }
  return [...products.values()];
}

function published(remote: string, image: PublishedImage): Candidate {
  const { aliases, os, release, version, sha256, supported } = image;
  const [first = "", ...others] = aliases;
  const [prefix, shown] = remote === DEFAULT_REMOTE ? ["", ""] : [`${remote}:`, remote];
  return {
    name: prefix + first,
    // One-letter aliases are for typing, and `default` concerns only `launch`.
    aliases: others.filter((alias) => alias.length > 1 && alias !== "default"),
    os,
    release,
    remote: shown,
    version,
    names: aliases,
    sha256,
    supported,
  };
}

/** Images that were built here or named by the user, in the engine's formats, that can be launched by name. */
function builtOnes(records: readonly ImageRecord[]): Candidate[] {
  const built = records.filter(
    ({ published, aliases }) => published === undefined && !aliases.includes(BLANK),
  );
  return built.flatMap((record) => {
    const { aliases, os, release, createdAt, sha256 } = record;
    const same = records.filter(({ format }) => format === record.format);
    const [name, ...others] = aliases.filter((alias) => findLocal(same, alias) === record);
    if (name === undefined) {
      return [];
    }
    const version = new Date(createdAt).toISOString().slice(0, 10).replaceAll("-", "");
    return [
      { name, aliases: others, os, release, remote: "", version, names: aliases, sha256, supported: true },
    ];
  });
}

function onceEach(shelves: readonly (readonly Candidate[])[]): Candidate[] {
  const told = new Set<string>();
  return shelves.flatMap((shelf, at) => {
    const own = shelf.filter(({ os, release }) => at === shelves.length - 1 || !told.has(`${os} ${release}`));
    for (const { os, release } of shelf) {
      told.add(`${os} ${release}`);
    }
    return own;
  });
}

/** One image that was asked for by a name of its own has that name, as scripts look for it; the others are its aliases. */
function askedFor(text: string, found: Candidate[]): Candidate[] {
  const [only, ...others] = found;
  const asked = splitRemote(text).text.toLowerCase();
  if (only === undefined || others.length > 0 || !(only.names.includes(asked) || isHash(only, asked))) {
    return found;
  }
  const { text: own } = splitRemote(only.name);
  const aliases = [own, ...only.aliases].filter((alias) => alias.toLowerCase() !== asked);
  return [{ ...only, name: text, aliases }];
}

function isHash({ sha256 }: Candidate, text: string): boolean {
  return isHashPrefix(text) && sha256.startsWith(text);
}

function firstMatching(shelves: readonly (readonly Candidate[])[], wanted: string): Candidate[] {
  const tests: ((each: Candidate) => boolean)[] = [
    (each) => each.names.includes(wanted) || isHash(each, wanted),
    ({ names, os, release }) =>
      [...names, `${os} ${release}`].some((name) => name.toLowerCase().includes(wanted)),
  ];
  for (const test of tests) {
    for (const shelf of shelves) {
      const found = shelf.filter(test);
      if (found.length > 0) {
        return found;
      }
    }
  }
  return [];
}
