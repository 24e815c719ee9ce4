import { open, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../util/programs.ts";
import type { AsRoot } from "./superuser.ts";

/** GRUB's own files by the kind of firmware that starts it, and the packages that have them. */
export const GRUB = {
  BIOS: { folder: "/usr/lib/grub/i386-pc", package: "grub-pc-bin" },
  UEFI: { folder: "/usr/lib/grub/x86_64-efi", package: "grub-efi-amd64-bin" },
} as const;

const MIB = 1024 * 1024;
const SECTOR = 512;
/** Offsets of the partition that UEFI reads and of the root behind it, which can grow; bytes. */
const EFI = MIB;
const ROOT = 5 * MIB;

/** Modules that GRUB needs to find and start a kernel on the root. */
const MODULES = ["part_msdos", "ext2", "normal", "linux", "configfile", "echo"];
/** UEFI reads GRUB from another partition than the root. */
const FIND_ROOT = `search --no-floppy --label root --set root
configfile ($root)/boot/grub/grub.cfg
`;

export interface DiskOptions {
  readonly disk: string;
  readonly root: string;
  readonly size: number;
  /** Folder for temporary files. */
  readonly work: string;
  readonly asRoot: AsRoot;
  readonly signal: AbortSignal;
}

/**
 * Writes a raw disk of `size` bytes with the folder as its root file system on partition 1, and installs GRUB
 * for BIOS and for UEFI without mounting anything or using a loop device.
 */
export async function writeDisk(options: DiskOptions): Promise<void> {
  const { disk, root, size, asRoot, signal } = options;
  await writeFile(disk, "");
  await truncate(disk, size);
  const partitions = [
    `1: start=${ROOT / SECTOR}, type=83, bootable`,
    `2: start=${EFI / SECTOR}, size=${(ROOT - EFI) / SECTOR}, type=ef`,
  ];
  await run("sfdisk", ["-q", disk], {
    signal,
    input: `label: dos\n${partitions.join("\n")}\n`,
    package: "fdisk",
  });
  const blocks = Math.floor((size - ROOT) / 4096);
  const extended = `offset=${ROOT},lazy_itable_init=0,lazy_journal_init=0`;
  const format = ["-q", "-t", "ext4", "-L", "root", "-d", root, "-E", extended, "-b", "4096", "-m", "1"];
  await asRoot("mke2fs", [...format, "-O", "^metadata_csum_seed", disk, String(blocks)], "e2fsprogs");
  await writeBiosGrub(options);
  await writeUefiGrub(options);
}

/** 440 bytes of boot.img before the partition table; core.img from sector 1 on, where boot.img looks. */
async function writeBiosGrub({ disk, work, signal }: DiskOptions): Promise<void> {
  const core = join(work, "core.img");
  const format = ["-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub"];
  await run("grub-mkimage", [...format, "-o", core, "biosdisk", ...MODULES], {
    signal,
    package: "grub-common",
  });
  await using file = await open(disk, "r+");
  await file.write(await readFile(join(GRUB.BIOS.folder, "boot.img")), 0, 440, 0);
  const image = await readFile(core);
  await file.write(image, 0, image.length, SECTOR);
}

/** A FAT with GRUB in the place where UEFI looks on an unknown disk. */
async function writeUefiGrub({ disk, work, signal }: DiskOptions): Promise<void> {
  const [program, config] = [join(work, "grub.efi"), join(work, "find-root.cfg")];
  await writeFile(config, FIND_ROOT);
  const format = ["-O", "x86_64-efi", "-p", "/boot/grub", "-c", config];
  await run("grub-mkimage", [...format, "-o", program, "search", "search_label", ...MODULES], {
    signal,
    package: "grub-common",
  });
  const fat = ["-i", `${disk}@@${EFI}`];
  const mtools = { signal, package: "mtools" };
  const sectors = String((ROOT - EFI) / SECTOR);
  await run("mformat", [...fat, "-T", sectors, "-H", String(EFI / SECTOR), "-h", "16", "-s", "32"], mtools);
  await run("mmd", [...fat, "::EFI", "::EFI/BOOT"], mtools);
  await run("mcopy", [...fat, program, "::EFI/BOOT/BOOTX64.EFI"], mtools);
}
