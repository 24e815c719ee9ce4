/** The header of a qcow2 file, read without QEMU. */
export interface Qcow2Header {
  readonly version: number;
  /** Virtual size, bytes. */
  readonly size: bigint;
  /** Name of the backing file as written there; null for none. */
  readonly backing: string | null;
  /** Whether the data is in another file. */
  readonly dataFile: boolean;
  readonly encrypted: boolean;
  readonly corrupt: boolean;
}

const MAGIC = 0x514649fb;
/** Length of a version 2 header; in version 3, feature bits follow it. */
const LENGTH = 72;
const CORRUPT = 1n << 1n;
const DATA_FILE = 1n << 2n;

/**
 * Reads the header from the first bytes of a file (64 KiB are enough); null if the file is not qcow2. The
 * layout is described in QEMU's docs/interop/qcow2.txt.
 */
export function readQcow2Header(bytes: Buffer): Qcow2Header | null {
  if (bytes.length < LENGTH || bytes.readUInt32BE(0) !== MAGIC) {
    return null;
  }
  const version = bytes.readUInt32BE(4);
  const features = version >= 3 && bytes.length >= 80 ? bytes.readBigUInt64BE(72) : 0n;
  return {
    version,
    size: bytes.readBigUInt64BE(24),
    backing: backingName(bytes),
    dataFile: (features & DATA_FILE) !== 0n,
    encrypted: bytes.readUInt32BE(32) !== 0,
    corrupt: (features & CORRUPT) !== 0n,
  };
}

/** A name outside the bytes that were read counts as well. */
function backingName(bytes: Buffer): string | null {
  const offset = bytes.readBigUInt64BE(8);
  if (offset === 0n) {
    return null;
  }
  const length = BigInt(bytes.readUInt32BE(16));
  return bytes.subarray(clamp(offset, bytes), clamp(offset + length, bytes)).toString("utf8") || "a file";
}

function clamp(offset: bigint, bytes: Buffer): number {
  return offset > BigInt(bytes.length) ? bytes.length : Number(offset);
}
