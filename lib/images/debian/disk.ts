import { open, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../programs.ts";
import type { AsRoot } from "./superuser.ts";

export const GRUB_FOLDER = "/usr/lib/grub/i386-pc";
const MIB = 1024 * 1024;

/**
 * Writes a raw disk of `size` bytes with one partition, the folder as its root file system, and GRUB put
 * in by hand: nothing is mounted and no loop device is used.
 */
export async function writeDisk(o: {
  readonly disk: string;
  readonly root: string;
  readonly size: number;
  /** Folder for what is needed on the way. */
  readonly work: string;
  readonly asRoot: AsRoot;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { disk, root, size, work, asRoot, signal } = o;
  await writeFile(disk, "");
  await truncate(disk, size);
  await run("sfdisk", ["-q", disk], {
    signal,
    input: "label: dos\nstart=2048, type=83, bootable\n",
    package: "fdisk",
  });
  const blocks = Math.floor((size - MIB) / 4096);
  const extended = `offset=${MIB},lazy_itable_init=0,lazy_journal_init=0`;
  const options = ["-q", "-t", "ext4", "-L", "root", "-d", root, "-E", extended, "-b", "4096", "-m", "1"];
  await asRoot("mke2fs", [...options, "-O", "^metadata_csum_seed", disk, String(blocks)], "e2fsprogs");
  const core = join(work, "core.img");
  const modules = ["biosdisk", "part_msdos", "ext2", "normal", "linux", "configfile", "echo"];
  await run("grub-mkimage", ["-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", core, ...modules], {
    signal,
    package: "grub-common",
  });
  // 440 bytes of boot.img before the partition table; core.img from sector 1 on, where boot.img looks.
  await using file = await open(disk, "r+");
  await file.write(await readFile(join(GRUB_FOLDER, "boot.img")), 0, 440, 0);
  const image = await readFile(core);
  await file.write(image, 0, image.length, 512);
}
