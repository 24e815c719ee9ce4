import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import type { Context } from "../engine/contract.ts";
import { asStrataError, failure, type StrataError } from "../errors.ts";
import { atOwn, createFile, ownFailure } from "../util/own-files.ts";
import { type Limits, runReading } from "../util/programs.ts";
import { writeSparse } from "./storage.ts";

/** What a packed file is packed with. */
export type Packing = "gz" | "xz" | "zst";

const MAGIC: Readonly<Record<Packing, Buffer>> = {
  gz: Buffer.from([0x1f, 0x8b]),
  xz: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]),
  zst: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]),
};

/** What unpacks what Node cannot. The packed file says how much memory it wants: not more than this. */
const PROGRAMS: Readonly<Record<Exclude<Packing, "gz">, (path: string) => [string, string[]]>> = {
  xz: (path) => ["xz", ["--decompress", "--stdout", "--memlimit-decompress=512MiB", "--", path]],
  zst: (path) => ["zstd", ["--decompress", "--stdout", "--memory=512MB", "--quiet", "--", path]],
};
const LIMITS: Limits = { memory: 1024 * 1024 * 1024, seconds: 1800 };

/** A larger image is taken for a bomb, bytes. */
const LARGEST = 128 * 1024 ** 3;
const PIECE = 256 * 1024;

/** How a file is packed, from its first bytes; null where it is not. Its name tells nothing. */
export async function packingOf(path: string): Promise<Packing | null> {
  await using file = await open(path, "r");
  const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8, 0);
  const head = buffer.subarray(0, bytesRead);
  const found = Object.entries(MAGIC).find(([, magic]) => head.subarray(0, magic.length).equals(magic));
  return (found?.[0] as Packing | undefined) ?? null;
}

/**
 * Unpacks a file into a new one, mode 0600, whose runs of zeros take no room. Rejects with
 * IMAGE_UNREADABLE for one that is damaged or larger than `largest`, PROGRAM_MISSING, NO_SPACE, CANCELLED.
 */
export async function unpack(
  image: string,
  { from, to, packing }: { readonly from: string; readonly to: string; readonly packing: Packing },
  context: Context,
  largest = LARGEST,
): Promise<void> {
  const { signal, progress } = context;
  await using file = await atOwn(to, () => createFile(to));
  // A pipeline that is broken off at its end tells of the end of its beginning.
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
    await (packing === "gz"
      ? pipeline(createReadStream(from), createGunzip({ chunkSize: PIECE }), write, { signal })
      : runReading(
          ...PROGRAMS[packing](from),
          { signal, limits: LIMITS, package: packing === "xz" ? "xz-utils" : "zstd" },
          (output) => pipeline(output, write),
        ));
  } catch (error) {
    if (signal.aborted) {
      throw failure("CANCELLED", {}, error);
    }
    if (ours !== undefined) {
      throw ours;
    }
    const mapped = asStrataError(error);
    if (mapped.code !== "PROGRAM_FAILED" && mapped.code !== "INTERNAL") {
      throw mapped;
    }
    const reason = `it cannot be unpacked: ${mapped.details.reason ?? mapped.message}`;
    throw failure("IMAGE_UNREADABLE", { image, reason }, error);
  }
}
