import { failure } from "../errors.ts";

/** Signature of a sparse VMDK file. */
const MAGIC = "KDMV";
/** Beginning of a VMDK descriptor, a text that names the files with the data. */
const DESCRIPTOR = "# Disk DescriptorFile";
/** Length of the header, bytes. */
const LENGTH = 79;

/**
 * True for a VMDK file that contains its whole disk. Throws IMAGE_HAS_BACKING for one that would make QEMU
 * open further files, and IMAGE_UNREADABLE for a part of a disk. QEMU follows file names in two cases: if the
 * header has a capacity of 0 (the embedded descriptor is then used like a separate one), and if the
 * descriptor names a parent.
 */
export function judgeVmdk(image: string, head: Buffer): boolean {
  const text = head.toString("latin1");
  if (text.startsWith(DESCRIPTOR)) {
    throw refers(image, firstExtent(text) ?? "the file with its data");
  }
  if (!text.startsWith(MAGIC) || head.length < LENGTH) {
    return false;
  }
  const capacity = head.readBigUInt64LE(12);
  const descriptor = head.readBigUInt64LE(28);
  if (capacity === 0n) {
    throw refers(image, firstExtent(text) ?? "the file with its data");
  }
  if (descriptor === 0n) {
    throw failure("IMAGE_UNREADABLE", { image, reason: "it is one part of a disk in several files" });
  }
  // QEMU looks for it after the header, wherever the header says the descriptor is.
  const parent = /parentFileNameHint[^\n"]*(?:"([^"\n]*)")?/i.exec(text);
  if (parent !== null) {
    throw refers(image, parent[1] || "its parent disk");
  }
  return true;
}

/** Name of the first file in a descriptor. */
function firstExtent(text: string): string | undefined {
  return /^(?:RW|RDONLY|NOACCESS)\s+\d+\s+\w+\s+"([^"\n]*)"/m.exec(text)?.[1];
}

function refers(image: string, file: string) {
  return failure("IMAGE_HAS_BACKING", { image, file, format: "vmdk" });
}
