import type { ParcelFile } from "../engine/contract.ts";
import { failure, type StrataError } from "../errors.ts";

/** The first file of a parcel: what it is, and what follows. */
export interface Manifest {
  /** Version of this shape. */
  readonly strata: typeof VERSION;
  /** Name of the engine that reads `contents`. */
  readonly engine: string;
  readonly instance: {
    readonly name: string;
    readonly username: string;
    readonly image: { readonly sha256: string; readonly release: string; readonly os: string };
    readonly snapshotsTaken: number;
    readonly createdAt: number;
    /** As whom its guest knows itself, and is known by ssh; absent in parcels of before there was `--identity`. */
    readonly cloudInstanceId?: string;
    readonly hostKey?: string;
  };
  readonly contents: unknown;
  /** In their order in the parcel. */
  readonly files: readonly ParcelFile[];
}

export const VERSION = 1;
export const MANIFEST = "manifest.json";
/** The last file of a parcel: the sum of each file, and of all of them. */
export const SUMS = "SHA256SUMS";
/** Bytes; that of an instance with a thousand snapshots has half a megabyte. */
export const LONGEST_MANIFEST = 64 * 1024 * 1024;
/** Files of a parcel. */
const MOST_FILES = 100_000;
/** Names of files: none is a path, an option or hidden. */
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/;

/** The error for what is no parcel, or not the one that was sent. */
export function broken(reason: string, cause?: unknown): StrataError {
  return failure("PARCEL_BROKEN", { reason }, cause);
}

/** Reads a manifest of a stranger's; rejects with PARCEL_BROKEN, and with UNSUPPORTED for a newer one. */
export async function parseManifest(bytes: Uint8Array): Promise<Manifest> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw broken("its manifest is not JSON", error);
  }
  const version = typeof value === "object" && value !== null && "strata" in value ? value.strata : undefined;
  if (typeof version === "number" && version > VERSION) {
    throw broken(`it was written by a newer strata, in version ${version}`);
  }
  const { z } = await import("zod");
  const text = z.string().max(1000);
  const count = z.number().int().min(0);
  const shape = z.object({
    strata: z.literal(VERSION),
    engine: z.string().regex(/^[a-z][a-z0-9-]{0,63}$/),
    instance: z.object({
      name: text,
      username: z.string().regex(/^(?:[A-Za-z_][A-Za-z0-9_.-]{0,63})?$/),
      image: z.object({ sha256: z.string().regex(/^(?:[0-9a-f]{64})?$/), release: text, os: text }),
      snapshotsTaken: count,
      createdAt: count,
      cloudInstanceId: z
        .string()
        .regex(/^[A-Za-z0-9._-]{1,100}$/)
        .exactOptional(),
      hostKey: z
        .string()
        .regex(/^[a-z0-9@.-]{1,64} [A-Za-z0-9+/=]{1,2000}$/)
        .exactOptional(),
    }),
    contents: z.unknown(),
    files: z.array(z.object({ name: z.string().regex(FILE_NAME), size: count })).max(MOST_FILES),
  });
  const read = shape.safeParse(value);
  if (!read.success) {
    throw broken(`its manifest is not well-formed: ${read.error.issues[0]?.path.join(".")}`, read.error);
  }
  const { contents, ...rest } = read.data;
  const names = new Set([MANIFEST, SUMS]);
  for (const { name } of rest.files) {
    if (names.has(name)) {
      throw broken(`its manifest names ${name} twice`);
    }
    names.add(name);
  }
  return { ...rest, contents };
}
