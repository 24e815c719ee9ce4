import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import type { Context } from "../engine/contract.ts";
import { asStrataError, failure, type StrataError } from "../errors.ts";
import { atOwn, createFile, ownFailure } from "../util/own-files.ts";
import { type Limits, runReading } from "../util/programs.ts";
import { writeSparse } from "./storage.ts";

/** The compression of a file. */
export type Packing = "gz" | "xz" | "zst" | "bz2";

const MAGIC: Readonly<Record<Packing, RegExp>> = {
  gz: /^\x1f\x8b/,
  xz: /^\xfd7zXZ\x00/,
  zst: /^\x28\xb5\x2f\xfd/,
  // The second one is that of an empty file.
  bz2: /^BZh[1-9](?:1AY&SY|\x17rE8P\x90)/,
};

/**
 * Programs that decompress what Node cannot. A compressed file says how much memory it needs; this limits it.
 */
const PROGRAMS: Readonly<Record<Exclude<Packing, "gz">, (path: string) => [string, string[]]>> = {
  xz: (path) => ["xz", ["--decompress", "--stdout", "--memlimit-decompress=512MiB", "--", path]],
  zst: (path) => ["zstd", ["--decompress", "--stdout", "--memory=512MB", "--quiet", "--", path]],
  bz2: (path) => ["bzip2", ["--decompress", "--stdout", "--", path]],
};
const PACKAGES = { xz: "xz-utils", zst: "zstd", bz2: "bzip2" } as const;
export const LIMITS: Limits = { memory: 1024 * 1024 * 1024, seconds: 1800 };

/** A larger image counts as a decompression bomb, bytes. */
export const LARGEST = 128 * 1024 ** 3;
const PIECE = 256 * 1024;

/**
 * The compression of a file, determined from its first bytes and not its name; null if it is not compressed.
 */
export function packingOf(head: Buffer): Packing | null {
  const text = head.toString("latin1", 0, 16);
  const found = Object.entries(MAGIC).find(([, magic]) => magic.test(text));
  return (found?.[0] as Packing | undefined) ?? null;
}

/**
 * Decompresses a file into a new one, mode 0600, with holes for runs of zeros. Rejects with IMAGE_UNREADABLE
 * if it is damaged or larger than `largest`, PROGRAM_MISSING, NO_SPACE, CANCELLED.
 */
export async function unpack(
  image: string,
  { from, to, packing }: { readonly from: string; readonly to: string; readonly packing: Packing },
  context: Context,
  largest = LARGEST,
): Promise<void> {
  const { signal } = context;
  return writeNew(image, to, context, largest, (write) =>
    packing === "gz"
      ? pipeline(createReadStream(from), createGunzip({ chunkSize: PIECE }), write, { signal })
      : runReading(
          ...PROGRAMS[packing](from),
          { signal, limits: LIMITS, package: PACKAGES[packing] },
          (output) => pipeline(output, write),
        ),
  );
}

/**
 * Creates a new file, mode 0600, from what `fill` writes, with holes for runs of zeros. Failures meanwhile
 * are the image's fault: IMAGE_UNREADABLE.
 */
export async function writeNew(
  image: string,
  to: string,
  { signal, progress }: Context,
  largest: number,
  fill: (write: (pieces: AsyncIterable<Buffer>) => Promise<void>) => Promise<void>,
): Promise<void> {
  await using file = await atOwn(to, () => createFile(to));
  // A pipeline that breaks at its end also reports an error at its beginning.
  let ours: StrataError | undefined;
  const write = async (pieces: AsyncIterable<Buffer>) => {
    let done = 0;
    for await (const piece of pieces) {
      if (done + piece.length > largest) {
        ours = failure("IMAGE_UNREADABLE", { image, reason: `it unpacks to more than ${largest} bytes` });
        throw ours;
      }
      await writeSparse(file, piece, done).catch((error: unknown) => {
        ours = ownFailure(error, to);
        throw ours;
      });
      done += piece.length;
      progress({ phase: "Unpacking image", done: BigInt(done) });
    }
    await file.truncate(done);
  };
  try {
    await fill(write);
  } catch (error) {
    if (signal.aborted) {
      throw failure("CANCELLED", {}, error);
    }
    throw ours ?? unpackable(image, error);
  }
}

/** An error of the program is the archive's fault; other errors keep their meaning. */
export function unpackable(image: string, error: unknown): StrataError {
  const mapped = asStrataError(error);
  if (mapped.code !== "PROGRAM_FAILED" && mapped.code !== "INTERNAL") {
    return mapped;
  }
  const reason = `it cannot be unpacked: ${mapped.details.reason ?? mapped.message}`;
  return failure("IMAGE_UNREADABLE", { image, reason }, error);
}
