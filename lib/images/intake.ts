import type { Context } from "../engine/contract.ts";
import { failure } from "../errors.ts";
import { extractDisk, isArchive } from "./archive.ts";
import type { Cache, CachedImage } from "./cache.ts";
import { convert } from "./convert.ts";
import { type Inspection, inspectImage, readHead } from "./inspect.ts";
import type { ImageRecord } from "./record.ts";
import { packingOf, unpack } from "./unpack.ts";

/** An image that is to be added to the cache. */
export interface Arrival {
  /** Its name in errors. */
  readonly image: string;
  /** The expected hash; undefined if nothing else authenticates the image. */
  readonly sha256: string | undefined;
  /** Copies it to a path and resolves to its SHA-256. */
  readonly fetch: (path: string) => Promise<string>;
  readonly facts: Omit<ImageRecord, "version" | "format" | "sha256" | "virtualSize" | "createdAt">;
}

/** The image with that hash, which only one process fetches; others wait and find it in the cache. */
export async function takeInOnce(
  cache: Cache,
  arrival: Arrival & { readonly sha256: string },
  context: Context,
): Promise<CachedImage> {
  const present = async () => findByHash(await cache.records(), arrival.sha256);
  const work = async () => (await present()) ?? takeIn(cache, arrival, context);
  return (await present()) ?? cache.exclusively(arrival.sha256, context, work);
}

export function findByHash(records: readonly CachedImage[], sha256: string): CachedImage | undefined {
  return records.find((record) => record.sha256 === sha256);
}

/**
 * Brings a foreign image into the cache after inspecting it; a compressed one is unpacked, and one in another
 * format is converted to qcow2. It is named by the hash of the original file, so that the same hash finds it
 * again.
 */
export async function takeIn(cache: Cache, arrival: Arrival, context: Context): Promise<CachedImage> {
  const { image, facts } = arrival;
  return cache.withPartial(async (path) => {
    const sha256 = await arrival.fetch(path);
    if (arrival.sha256 !== undefined && sha256 !== arrival.sha256) {
      throw failure("CHECKSUM_MISMATCH", { image, actual: sha256, expected: arrival.sha256 });
    }
    context.progress({ phase: "Verifying image" });
    return withDisk(cache, image, path, context, (disk, { virtualSize }) =>
      cache.adopt(disk, {
        version: 1,
        format: "qcow2",
        sha256,
        ...facts,
        virtualSize,
        createdAt: Date.now(),
      }),
    );
  });
}

/** Maximum nesting: the disk in an OVA may be compressed, and the OVA too. */
const MOST_WRAPPERS = 3;

/** Calls a function with the disk in the file, as a qcow2 file. */
async function withDisk<T>(
  cache: Cache,
  image: string,
  path: string,
  context: Context,
  work: (disk: string, inspection: Inspection) => Promise<T>,
  wrappers = 0,
): Promise<T> {
  const head = await readHead(path);
  const packing = packingOf(head);
  if (packing === null && !isArchive(head)) {
    return withQcow2(cache, image, path, context, work);
  }
  if (wrappers === MOST_WRAPPERS) {
    throw failure("IMAGE_UNREADABLE", { image, reason: `it is packed more than ${MOST_WRAPPERS} times` });
  }
  return cache.withPartial(async (to) => {
    await (packing === null
      ? extractDisk(image, path, to, context)
      : unpack(image, { from: path, to, packing }, context));
    return withDisk(cache, image, to, context, work, wrappers + 1);
  });
}

async function withQcow2<T>(
  cache: Cache,
  image: string,
  path: string,
  context: Context,
  work: (disk: string, inspection: Inspection) => Promise<T>,
): Promise<T> {
  const inspection = await inspectImage(image, path, context.signal);
  if (inspection.format === "qcow2") {
    return work(path, inspection);
  }
  return cache.withPartial(async (converted) => {
    await convert(image, path, converted, inspection, context);
    return work(converted, await inspectImage(image, converted, context.signal));
  });
}
