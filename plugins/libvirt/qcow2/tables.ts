import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { MAGIC } from "./header.ts";

/** Reads bytes of a file, fewer than requested at its end. The result is valid until the next read. */
export type ReadAt = (at: number, length: number) => Buffer;

/**
 * What a file's tables say:
 * - "whole": its tables, and all clusters in use, begin inside the file.
 * - "cut": it ends before one of its tables does.
 * - "short": clusters in use lie beyond its end. Their data is lost, or QEMU was killed before it wrote them,
 *   and nothing refers to them.
 * - "corrupt": QEMU found it corrupt, marked it, and opens it read-only.
 * - "unknown": the refcounts do not tell, because they are rebuilt when it is opened, or its format is
 *   unknown.
 */
export type Extent = "whole" | "cut" | "short" | "corrupt" | "unknown";

const DIRTY = 1n;
const CORRUPT = 2n;
/**
 * How much of the refcount table beyond the file's end is read, bytes: 512 entries, of 2 GiB each by default.
 */
const READ_BYTES = 4096;
const OFFSET = 0x00ff_ffff_ffff_fe00n;

/** Buffer for reading files: a thousand are read one after the other, and nothing is kept. */
let space = Buffer.alloc(65536);

/** Like `extentOfBytes`, for the file at a path; "unknown" if it cannot be read. */
export function extentOfFile(path: string): Extent {
  try {
    const file = openSync(path, "r");
    try {
      const read: ReadAt = (at, length) => {
        if (space.length < length) {
          space = Buffer.alloc(length);
        }
        return space.subarray(0, readSync(file, space, 0, length, at));
      };
      return extentOf(read, fstatSync(file).size);
    } finally {
      closeSync(file);
    }
  } catch {
    return "unknown";
  }
}

/**
 * Finds out whether a qcow2 file of `size` bytes has been truncated, in three short reads: the header, the
 * refcount table, and the refcounts beyond the file's end. The last cluster may be there in part, since
 * tables at the end of a file are not padded.
 */
export function extentOf(read: ReadAt, size: number): Extent {
  const header = readTables(read(0, 104));
  if (typeof header === "string") {
    return header;
  }
  const { cluster, bits, l1End, table, tableLength } = header;
  // QEMU reads zeros beyond a file's end: an L1 table that is missing entirely looks like that of an empty
  // layer.
  if (l1End > size || table + cluster > size) {
    return "cut";
  }
  /** Clusters whose refcounts are in one block. */
  const counted = (cluster * 8) / bits;
  const behind = Math.ceil(size / cluster);
  const begin = Math.floor(behind / counted) * 8;
  const entries = read(table + begin, Math.max(0, Math.min(READ_BYTES, tableLength - begin)));
  if (!isZero(entries.subarray(8))) {
    return "short";
  }
  const block = entries.length < 8 ? 0 : Number(entries.readBigUInt64BE(0) & OFFSET);
  if (block === 0) {
    return "whole";
  }
  if (block >= size) {
    return "cut";
  }
  const skipped = (behind % counted) * bits;
  const from = Math.floor(skipped / 8);
  const refcounts = read(block + from, cluster - from);
  // Refcounts of less than a byte begin with the lowest bits.
  const [first = 0] = refcounts;
  return first >> (skipped % 8) === 0 && isZero(refcounts.subarray(1)) ? "whole" : "short";
}

interface Tables {
  /** Bytes of a cluster. */
  readonly cluster: number;
  /** Bits of a refcount. */
  readonly bits: number;
  readonly l1End: number;
  /** Where the refcount table is, and its bytes. */
  readonly table: number;
  readonly tableLength: number;
}

/** Where the tables are, by the start of a file. */
function readTables(header: Buffer): Tables | Extent {
  if (header.length < 72 || header.readUInt32BE(0) !== MAGIC) {
    return "unknown";
  }
  const version = header.readUInt32BE(4);
  const clusterBits = header.readUInt32BE(20);
  if ((version !== 2 && version !== 3) || clusterBits < 9 || clusterBits > 21) {
    return "unknown";
  }
  if (version === 3 && header.length < 104) {
    return "cut";
  }
  const features = version === 3 ? header.readBigUInt64BE(72) : 0n;
  const order = version === 3 ? header.readUInt32BE(96) : 4;
  if ((features & CORRUPT) !== 0n) {
    return "corrupt";
  }
  if ((features & DIRTY) !== 0n || order > 6) {
    return "unknown";
  }
  const cluster = 2 ** clusterBits;
  const [l1, table] = [40, 48].map((at) => Number(header.readBigUInt64BE(at))) as [number, number];
  const tableLength = header.readUInt32BE(56) * cluster;
  return { cluster, bits: 2 ** order, l1End: l1 + 8 * header.readUInt32BE(36), table, tableLength };
}

const ZEROS = Buffer.alloc(2 ** 21);

function isZero(bytes: Buffer): boolean {
  return bytes.equals(ZEROS.subarray(0, bytes.length));
}
