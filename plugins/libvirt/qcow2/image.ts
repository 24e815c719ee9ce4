import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { type Format, type Qcow2Header, readHeaderSync } from "./header.ts";

/** A raw file is rounded up to whole sectors, as QEMU does. */
const SECTOR = 512n;

/**
 * What is known of an image of that format. Nothing is read from a raw one, since its guest may write a header of
 * any format there. Rejects with the errors of `readHeader` and of the file system.
 */
export async function readImage(path: string, format: Format): Promise<Qcow2Header> {
  return readImageSync(path, format);
}

export function readImageSync(path: string, format: Format): Qcow2Header {
  return format === "raw" ? readRawSync(path) : readHeaderSync(path);
}

function readRawSync(path: string): Qcow2Header {
  // It may be there and not be readable.
  closeSync(openSync(path, "r"));
  return {
    virtualSize: rawSize(path),
    backing: null,
    backingFormat: null,
    inside: 0,
    encrypted: false,
    externalData: false,
  };
}

/** Bytes of a raw file or block device. */
function rawSize(path: string): bigint {
  const found = statSync(path, { bigint: true });
  if (found.isBlockDevice()) {
    const [major, minor] = numbersOf(found.rdev);
    return BigInt(readFileSync(`/sys/dev/block/${major}:${minor}/size`, "utf8").trim()) * SECTOR;
  }
  if (!found.isFile()) {
    throw new Error("neither a file nor a block device");
  }
  return ((found.size + SECTOR - 1n) / SECTOR) * SECTOR;
}

/** The numbers of a device, as Linux puts them into one. */
export function numbersOf(device: bigint): readonly [major: bigint, minor: bigint] {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return [major, minor];
}
