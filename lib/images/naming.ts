import { basename } from "node:path";
import type { Context } from "../engine/contract.ts";
import { failure } from "../errors.ts";
import type { Cache, CachedImage } from "./cache.ts";
import { FILE_SUFFIX, isHashPrefix } from "./image-name.ts";
import { BLANK, BUILT_NAMES, DEFAULT } from "./local.ts";
import type { ImageRecord } from "./record.ts";

const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;
const RESERVED: readonly string[] = [...BUILT_NAMES, BLANK, DEFAULT];
const WHAT = "the image name";

/** Throws INVALID_VALUE for a name that an image cannot be given. */
export function checkImageName(name: string): void {
  const reason = objection(name);
  if (reason !== null) {
    throw failure("INVALID_VALUE", { what: WHAT, value: name, reason });
  }
}

function objection(name: string): string | null {
  if (!NAME.test(name)) {
    return "must have lower-case letters, digits, dots, hyphens and underscores, at most 63, and begin and end with a letter or digit";
  }
  if (RESERVED.includes(name)) {
    return "must not be the name of an image that strata builds";
  }
  if (FILE_SUFFIX.test(name)) {
    return "must not end like a file";
  }
  return isHashPrefix(name) ? "must not look like a hash" : null;
}

/** The name that a file suggests for its image; undefined if it suggests none. */
export function suggestedName(file: string): string | undefined {
  let name = basename(file).toLowerCase();
  while (FILE_SUFFIX.test(name)) {
    name = name.replace(FILE_SUFFIX, "");
  }
  return objection(name) === null ? name : undefined;
}

/** Rejects with IMAGE_EXISTS if another image has that name; `records` are all that there are. */
export function requireFree(records: readonly CachedImage[], name: string, sha256?: string): void {
  if (isTaken(records, name, sha256)) {
    throw failure("IMAGE_EXISTS", { image: name });
  }
}

export function isTaken(records: readonly CachedImage[], name: string, sha256?: string): boolean {
  return records.some((record) => record.sha256 !== sha256 && record.aliases.includes(name));
}

/** Calls a function while no other process names images. */
export function whileNaming<T>(cache: Cache, context: Context, work: () => Promise<T>): Promise<T> {
  return cache.exclusively("names", context, work);
}

/** The record with these names, which makes a published image the user's own: its remote has no say any more. */
export function named({ published: _, ...record }: ImageRecord, aliases: readonly string[]): ImageRecord {
  return { ...record, aliases: [...aliases] };
}
