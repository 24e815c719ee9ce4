import { failure } from "../errors.ts";
import { nearDetail } from "../util/nearest.ts";
import { isHashPrefix, splitRemote } from "./image-name.ts";
import type { ImageRecord } from "./record.ts";

/** The name that `launch` uses without an image; see `findLocal`. */
export const DEFAULT = "default";

/** The name of an empty disk in `launch`, for installing a system. */
export const BLANK = "blank";
/** The built image for containers, a root folder. */
export const CONTAINER = "debian-container";
/** The built images for virtual machines, disks. */
export const MACHINES: readonly string[] = ["debian-micro", "debian-cloud"];

/** The names of what can be built here. */
export const BUILT_NAMES: readonly string[] = ["debian", CONTAINER, ...MACHINES];

/**
 * The image of that name among records in the engine's formats, in its order of preference and newest first:
 * first a built one by alias, the full system before the micro one; then any by the start of its hash.
 * `default` is the newest Debian image built here. Undefined if there is none. Throws IMAGE_NOT_BUILT for one
 * that can only be built, and INVALID_VALUE for the start of several hashes.
 */
export function findLocal<R extends ImageRecord>(
  records: readonly R[],
  text: string,
  formats: readonly string[] = ["qcow2"],
): R | undefined {
  const wanted = text.toLowerCase();
  const built = records.filter(({ published }) => published === undefined);
  const found = preferred(built, wanted === DEFAULT ? "debian" : wanted) ?? byPrefix(records, text);
  const buildable = /^debian(?:-(micro|cloud|container))?$/.exec(wanted);
  const onlyBuilt = buildable !== null || (wanted === DEFAULT && !formats.includes("qcow2"));
  if (found === undefined && onlyBuilt) {
    throw failure("IMAGE_NOT_BUILT", { image: text, variant: variantOf(buildable?.[1], formats) });
  }
  return found;
}

/** The variant to build: the one that was named, if the engine accepts its format. */
function variantOf(named: string | undefined, formats: readonly string[]): string {
  if (!formats.includes("qcow2")) {
    return "container";
  }
  if (named === undefined) {
    return formats[0] === "qcow2" ? "cloud" : "container";
  }
  return named === "container" && formats[0] === "qcow2" ? "cloud" : named;
}

/** The image in the cache that `text` names, published ones by their aliases too. Rejects with IMAGE_NOT_FOUND. */
export async function findCached<R extends ImageRecord>(records: readonly R[], text: string): Promise<R> {
  const { remote, text: alias } = splitRemote(text.toLowerCase());
  const ours = records.filter(({ published }) => remote === undefined || published?.remote === remote);
  const found = preferred(ours, alias) ?? (remote === undefined ? byPrefix(records, text) : undefined);
  if (found === undefined) {
    const known = () => records.flatMap(({ aliases }) => aliases);
    throw failure("IMAGE_NOT_FOUND", { image: text, ...(await nearDetail(text, known)) });
  }
  return found;
}

function preferred<R extends ImageRecord>(records: readonly R[], alias: string): R | undefined {
  const named = records.filter(({ aliases }) => aliases.includes(alias));
  return named.find(({ aliases }) => !aliases.some((each) => each.endsWith("-micro"))) ?? named[0];
}

function byPrefix<R extends ImageRecord>(records: readonly R[], text: string): R | undefined {
  const start = text.toLowerCase();
  const matching = isHashPrefix(start) ? records.filter(({ sha256 }) => sha256.startsWith(start)) : [];
  if (new Set(matching.map(({ sha256 }) => sha256)).size > 1) {
    throw failure("INVALID_VALUE", {
      what: "the image",
      value: text,
      reason: "must match a single image; give more of its hash",
    });
  }
  return matching[0];
}
