import { readFile } from "node:fs/promises";
import { join } from "node:path";
import writeFileAtomic from "write-file-atomic";
import { z } from "zod";
import type { Log } from "../../engine/contract.ts";
import { asStrataError, failure, type StrataError } from "../../errors.ts";
import { fetchText, publicName } from "../../util/http.ts";
import { atOwn, makeFolder } from "../../util/own-files.ts";
import type { Remote } from "./remotes.ts";
import { type PublishedImage, parseIndex, parseProducts } from "./simplestreams.ts";

/** How long a kept catalogue counts as current, ms. */
const CURRENT = 24 * 60 * 60 * 1000;
/** Largest catalogue, bytes. */
const LONGEST = 32 * 1024 * 1024;
/** Maximum number of product files in an index. */
const MOST_FILES = 16;
/** Time-out for each file of a catalogue, ms. */
const DOWNLOAD_TIMEOUT_MS = 30_000;

/** The images of a remote. */
export interface Manifest {
  readonly images: readonly PublishedImage[];
  /** Why the manifest is older than requested; null if it is current. */
  readonly outdated: StrataError | null;
}

export interface ManifestOptions {
  /** Folder for manifests, created if it is missing. */
  readonly folder: string;
  /** Architecture in simplestreams' terms. */
  readonly arch: string;
  /** Asks the remote even if the kept manifest is current. */
  readonly refresh: boolean;
  readonly signal: AbortSignal;
  readonly log: Log;
}

const keptShape = z.object({
  version: z.literal(1),
  url: z.string(),
  arch: z.string(),
  fetchedAt: z.number(),
  images: z.array(
    z.object({
      product: z.string(),
      os: z.string(),
      release: z.string(),
      aliases: z.array(z.string()).min(1).readonly(),
      version: z.string(),
      supported: z.boolean(),
      url: z.url({ protocol: /^https?$/ }),
      size: z.int().positive(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
});

/**
 * The manifest of a remote, which is asked at most once a day. If the remote cannot be reached or sends an
 * invalid catalogue, the kept manifest is used, however old; without one, it rejects with DOWNLOAD_FAILED or
 * CATALOGUE_UNREADABLE.
 */
export async function readManifest(remote: Remote, options: ManifestOptions): Promise<Manifest> {
  const { folder, arch, refresh, signal, log } = options;
  const path = join(folder, `${remote.name}.json`);
  const url = publicName(remote.url);
  const kept = await readKept(path);
  const same = kept !== undefined && kept.url === url && kept.arch === arch ? kept : undefined;
  const age = Date.now() - (same?.fetchedAt ?? 0);
  if (same !== undefined && !refresh && age >= 0 && age < CURRENT) {
    return { images: same.images, outdated: null };
  }
  let images: PublishedImage[];
  try {
    images = await fetchManifest(remote, arch, signal);
  } catch (error) {
    const mapped = asStrataError(error);
    if (same === undefined || mapped.code === "CANCELLED") {
      throw mapped;
    }
    return { images: same.images, outdated: mapped };
  }
  const record: z.infer<typeof keptShape> = { version: 1, url, arch, fetchedAt: Date.now(), images };
  await keep(path, record, folder).catch((error: unknown) => {
    log.warn(`the catalogue of ${remote.name} could not be cached`, { reason: asStrataError(error).message });
  });
  return { images, outdated: null };
}

async function fetchManifest(remote: Remote, arch: string, signal: AbortSignal): Promise<PublishedImage[]> {
  const get = (url: URL) => {
    const full = new URL(url);
    full.username = remote.url.username;
    full.password = remote.url.password;
    return fetchText(full, { limit: LONGEST, timeout: DOWNLOAD_TIMEOUT_MS, signal });
  };
  const files = parseIndex(remote, await get(new URL("streams/v1/index.json", remote.url)));
  if (files.length > MOST_FILES) {
    throw failure("CATALOGUE_UNREADABLE", {
      remote: remote.name,
      reason: `it must not consist of more than ${MOST_FILES} files, and has ${files.length}`,
    });
  }
  const images: PublishedImage[] = [];
  for (const file of files) {
    images.push(...parseProducts(remote, await get(file), arch));
  }
  return images;
}

/** A kept manifest that cannot be read, or that another version wrote, is ignored. */
async function readKept(path: string): Promise<z.infer<typeof keptShape> | undefined> {
  try {
    return keptShape.parse(JSON.parse(await readFile(path, "utf8")));
  } catch {
    return undefined;
  }
}

async function keep(path: string, record: object, folder: string): Promise<void> {
  await atOwn(path, async () => {
    await makeFolder(folder);
    await writeFileAtomic(path, JSON.stringify(record), { mode: 0o600 });
  });
}
