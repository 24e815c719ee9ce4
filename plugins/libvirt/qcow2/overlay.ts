import { failure } from "../../../lib/errors.ts";
import { createFile } from "../../../lib/util/own-files.ts";
import { fileError } from "../errors.ts";
import { BACKING_FORMAT, type Format, LONGEST_NAME, MAGIC } from "./header.ts";
import { readImage } from "./image.ts";
import { flushFolder } from "./qemu-img.ts";

const CLUSTER = 65536;
/** Bytes of disk that one entry of the L1 table maps: a cluster of 8-byte entries, a cluster each. */
const MAPPED = BigInt(CLUSTER / 8) * BigInt(CLUSTER);
const HEADER_LENGTH = 112;

/**
 * Creates an empty overlay on a file, readable only by its owner and durable: what `qemu-img create -b` makes, in
 * version 3 of the format. An empty overlay is a header and three small tables; starting a process to write them
 * would take longer than the rest of a snapshot. `size` is in bytes, by default that of the backing file.
 * Rejects with the errors of `readImage` for the backing file, and of the file system for the new one.
 */
export async function createOverlay(
  path: string,
  backing: string,
  { size, format = "qcow2" }: { readonly size?: bigint; readonly format?: Format } = {},
): Promise<void> {
  const virtualSize = size ?? (await readImage(backing, format)).virtualSize;
  await write(path, emptyOverlay(backing, virtualSize, format));
}

async function write(path: string, { header, tables, length }: Image): Promise<void> {
  try {
    await using file = await createFile(path);
    await file.truncate(length);
    for (const { at, bytes } of tables) {
      await file.write(bytes, 0, bytes.length, at);
    }
    // The header comes last: if this is interrupted, a file without a header is not a layer and can be
    // removed.
    await file.write(header, 0, header.length, 0);
    await file.sync();
    await flushFolder(path);
  } catch (error) {
    throw fileError(error, path);
  }
}

/** Creates an empty image that stands on nothing, as `createOverlay` does. `size` is in bytes. */
export async function createImage(path: string, size: bigint): Promise<void> {
  await write(path, emptyOverlay(null, size));
}

interface Piece {
  /** Offset in the file, bytes. */
  readonly at: number;
  readonly bytes: Buffer;
}

interface Image {
  readonly header: Buffer;
  readonly tables: readonly Piece[];
  readonly length: number;
}

/**
 * The parts of an overlay that are not zero: header, refcount table and refcount block. The L1 table follows. Without
 * a backing file, of an image that stands on nothing.
 */
export function emptyOverlay(backing: string | null, virtualSize: bigint, format: Format = "qcow2"): Image {
  const name = Buffer.from(backing ?? "", "utf8");
  if (name.length > LONGEST_NAME) {
    throw failure("INVALID_VALUE", {
      what: "the path of a layer",
      value: String(backing),
      reason: `must be at most ${LONGEST_NAME} bytes, the limit of qcow2`,
    });
  }
  const [refcountTable, refcountBlock, l1Table] = [CLUSTER, 2 * CLUSTER, 3 * CLUSTER];
  const l1Entries = Number((virtualSize + MAPPED - 1n) / MAPPED);
  const length = l1Table + 8 * l1Entries;

  const extensions = backing === null ? Buffer.alloc(8) : backingFormat(format);
  const header = Buffer.alloc(HEADER_LENGTH + extensions.length + name.length);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt32BE(3, 4);
  if (backing !== null) {
    header.writeBigUInt64BE(BigInt(HEADER_LENGTH + extensions.length), 8);
  }
  header.writeUInt32BE(name.length, 16);
  header.writeUInt32BE(Math.log2(CLUSTER), 20);
  header.writeBigUInt64BE(virtualSize, 24);
  header.writeUInt32BE(l1Entries, 36);
  header.writeBigUInt64BE(BigInt(l1Table), 40);
  header.writeBigUInt64BE(BigInt(refcountTable), 48);
  header.writeUInt32BE(1, 56);
  // Refcounts of 2 to the power of 4 bits.
  header.writeUInt32BE(4, 96);
  header.writeUInt32BE(HEADER_LENGTH, 100);
  extensions.copy(header, HEADER_LENGTH);
  name.copy(header, HEADER_LENGTH + extensions.length);

  const blockOffset = Buffer.alloc(8);
  blockOffset.writeBigUInt64BE(BigInt(refcountBlock));
  const refcounts = Buffer.alloc(2 * Math.ceil(length / CLUSTER));
  for (let at = 0; at < refcounts.length; at += 2) {
    refcounts.writeUInt16BE(1, at);
  }
  const tables = [
    { at: refcountTable, bytes: blockOffset },
    { at: refcountBlock, bytes: refcounts },
  ];
  return { header, tables, length };
}

/** The extension that names the format of the backing file, and the one that ends them, padded to 8 bytes. */
function backingFormat(format: string): Buffer {
  const padded = Math.ceil(format.length / 8) * 8;
  const extensions = Buffer.alloc(8 + padded + 8);
  extensions.writeUInt32BE(BACKING_FORMAT, 0);
  extensions.writeUInt32BE(format.length, 4);
  extensions.write(format, 8, "latin1");
  return extensions;
}
