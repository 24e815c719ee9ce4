import { failure } from "../errors.ts";
import { type Qcow2Header, readQcow2Header } from "./qcow2-header.ts";
import { judgeVmdk } from "./vmdk.ts";

/** The disk formats that are accepted, by QEMU's names; `vpc` is VHD. */
export type DiskFormat = "qcow2" | "raw" | "vmdk" | "vdi" | "vhdx" | "vpc";

/** Number of bytes at the start and at the end of a file that show its format. */
export const HEAD = 64 * 1024;
export const TAIL = 512;

/** Offset of the signature in a volume descriptor of ISO 9660. */
const ISO_MARK = 0x8001;
const VDI_SIGNATURE = 0xbeda107f;
const VHD_COOKIE = "conectix";
/** Offset of the type in the footer of a VHD, and the type of a VHD with a parent. */
const VHD_TYPE = 60;
const VHD_DIFFERENCING = 4;

/**
 * Determines the format from an image's first and last bytes, before any program opens the file. Throws
 * IMAGE_HAS_BACKING if it refers to another file, IMAGE_IS_CDROM for an ISO, IMAGE_UNREADABLE if it is
 * encrypted, corrupt or not a disk.
 */
export function judgeHead(image: string, head: Buffer, tail: Buffer = Buffer.alloc(0)): DiskFormat {
  if (head.length === 0) {
    throw failure("IMAGE_UNREADABLE", { image, reason: "it is empty" });
  }
  const header = readQcow2Header(head);
  if (header !== null) {
    judgeHeader(image, header);
    return "qcow2";
  }
  if (judgeVmdk(image, head)) {
    return "vmdk";
  }
  if (head.toString("latin1", 0, 8) === "vhdxfile") {
    return "vhdx";
  }
  if (head.length >= 68 && head.readUInt32LE(64) === VDI_SIGNATURE) {
    return "vdi";
  }
  // A VHD of fixed size is a raw disk with a footer.
  if (isVhd(image, head) || (isRaw(head) && isVhd(image, tail))) {
    return "vpc";
  }
  // Installers can also be copied to a USB stick, so they have a boot record too.
  if (head.toString("latin1", ISO_MARK, ISO_MARK + 5) === "CD001") {
    throw failure("IMAGE_IS_CDROM", { image });
  }
  // QEMU accepts any file as raw; a bootable disk has the signature of a boot record.
  if (!isRaw(head)) {
    throw failure("IMAGE_UNREADABLE", {
      image,
      reason: "it must be a disk in qcow2, vmdk, vdi, vhdx or vhd, or a raw one with a boot record",
    });
  }
  return "raw";
}

function isRaw(head: Buffer): boolean {
  return head.length >= 512 && head.readUInt16LE(510) === 0xaa55;
}

function isVhd(image: string, footer: Buffer): boolean {
  if (footer.length < TAIL || footer.toString("latin1", 0, VHD_COOKIE.length) !== VHD_COOKIE) {
    return false;
  }
  if (footer.readUInt32BE(VHD_TYPE) === VHD_DIFFERENCING) {
    throw failure("IMAGE_HAS_BACKING", { image, file: "its parent disk", format: "vpc" });
  }
  return true;
}

function judgeHeader(image: string, header: Qcow2Header): void {
  if (header.backing !== null) {
    throw failure("IMAGE_HAS_BACKING", { image, file: header.backing, format: "qcow2" });
  }
  if (header.dataFile) {
    throw failure("IMAGE_HAS_BACKING", { image, file: "an external data file", format: "qcow2" });
  }
  if (header.encrypted) {
    throw failure("IMAGE_UNREADABLE", { image, reason: "it is encrypted" });
  }
  if (header.corrupt) {
    throw failure("IMAGE_UNREADABLE", { image, reason: "it is marked as corrupt" });
  }
}
