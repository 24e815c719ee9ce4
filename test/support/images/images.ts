import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import type { Context, Progress } from "../../../lib/engine/contract.ts";
import { isStrataError } from "../../../lib/errors.ts";
import { type ImageStore, openImageStore } from "../../../lib/images/store.ts";

export interface ImageRoom extends AsyncDisposable {
  readonly folder: string;
  /** The cache's folder; it is not there until something is put into it. */
  readonly cache: string;
  /** The folder of the images for all users; it is not there until something is put into it. */
  readonly system: string;
  readonly store: ImageStore;
  /** What the store has warned of. */
  readonly warnings: readonly string[];
  path(name: string): string;
  /** Names in the cache's folder, sorted. */
  cached(): Promise<string[]>;
}

/**
 * A folder for a test with an image store in it, which does not wait between attempts to download;
 * `stall` is how long nothing may come, ms.
 */
export async function imageRoom({ stall }: { readonly stall?: number } = {}): Promise<ImageRoom> {
  const folder = await mkdtemp(join(tmpdir(), "strata-images-"));
  const cache = join(folder, "cache", "images");
  const system = join(folder, "system", "images");
  const warnings: string[] = [];
  return {
    folder,
    cache,
    system,
    store: openImageStore({
      folder: cache,
      catalogues: join(folder, "cache", "catalogues"),
      remotesFile: join(folder, "remotes.json"),
      system: () => system,
      log: { ...silent, warn: (message) => warnings.push(message) },
      download: { pause: async () => {}, ...(stall === undefined ? {} : { stall }) },
    }),
    warnings,
    path: (name) => join(folder, name),
    cached: async () => (await readdir(cache)).sort(),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

const silent = { error() {}, warn() {}, info() {}, debug() {} };

/** A context that hears progress, with an abort of its own unless one is given. */
export function contextOf(
  hear: (step: Progress) => void = () => {},
  signal: AbortSignal = new AbortController().signal,
): Context {
  return { signal, progress: hear };
}

/** Makes an image with qemu-img; `options` go before the file's name. */
export async function makeImage(path: string, size: string, options: readonly string[] = []): Promise<void> {
  await execa("qemu-img", ["create", "-q", "-f", "qcow2", ...options, path, size]);
}

export function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The code and the reason (or file, or path) of the StrataError that something rejects with. */
export async function refusal(work: Promise<unknown>): Promise<{ code: string; reason: string }> {
  try {
    await work;
  } catch (error) {
    if (!isStrataError(error)) {
      throw error;
    }
    const { reason, file, path } = error.details;
    return { code: error.code, reason: String(reason ?? file ?? path ?? "") };
  }
  throw new Error("it was accepted");
}
