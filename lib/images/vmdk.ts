import { failure } from "../errors.ts";

/** What a sparse VMDK file begins with. */
const MAGIC = "KDMV";
/** What a VMDK descriptor begins with: a text that names the files which hold the data. */
const DESCRIPTOR = "# Disk DescriptorFile";
/** Length of the header, bytes. */
const LENGTH = 79;

/**
 * True for a VMDK file that holds its whole disk. Throws for one that would have QEMU open further files,
 * with IMAGE_HAS_BACKING, and for a part of a disk with IMAGE_UNREADABLE. QEMU follows names of files in two
 * cases: where the header gives a capacity of 0 (the descriptor inside is then used like one of text), and
 * where the descriptor names a parent.
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
  // QEMU looks for it behind the header, wherever the descriptor is said to be.
  const parent = /parentFileNameHint[^\n"]*(?:"([^"\n]*)")?/i.exec(text);
  if (parent !== null) {
    throw refers(image, parent[1] || "its parent disk");
  }
  return true;
}

/** Name of the first file that a descriptor lists. */
function firstExtent(text: string): string | undefined {
  return /^(?:RW|RDONLY|NOACCESS)\s+\d+\s+\w+\s+"([^"\n]*)"/m.exec(text)?.[1];
}

function refers(image: string, file: string) {
  return failure("IMAGE_HAS_BACKING", { image, file, format: "vmdk" });
}
