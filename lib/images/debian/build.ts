import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Context } from "../../backend/contract.ts";
import { failure } from "../../errors.ts";
import { requirePrograms, run } from "../../programs.ts";
import { kernelVersion, makeCloudRoot, makeMicroRoot, type RootOptions } from "./root-folder.ts";

export type Variant = "micro" | "cloud";

/** What was built, beside the file itself. */
export interface BuiltImage {
  readonly os: string;
  readonly release: string;
  readonly codename: string;
  /** The default user. */
  readonly username: string;
}

const PROGRAMS = {
  mmdebstrap: "mmdebstrap",
  mke2fs: "e2fsprogs",
  sfdisk: "fdisk",
  "grub-mkimage": "grub-common",
  "qemu-img": "qemu-utils",
  cpio: "cpio",
  gzip: "gzip",
};

const GRUB_FOLDER = "/usr/lib/grub/i386-pc";
const MIB = 1024 * 1024;
/** Size of the disk in the image; the guest grows its root on a larger one. */
const DISK: Readonly<Record<Variant, number>> = { micro: 1024 * MIB, cloud: 1400 * MIB };

const KERNEL_ARGUMENTS: Readonly<Record<Variant, string>> = {
  micro: "root=/dev/vda1 rw console=ttyS0 quiet",
  cloud: "root=LABEL=root ro console=tty0 console=ttyS0 quiet net.ifnames=0",
};

/**
 * Builds a bootable Debian guest as a qcow2 file at `target` from the packages that the host's own apt
 * sources have. Needs root, as a package manager does; mounts nothing and uses no loop device.
 */
export async function buildDebian(variant: Variant, target: string, context: Context): Promise<BuiltImage> {
  await requirePrograms(PROGRAMS);
  await stat(join(GRUB_FOLDER, "boot.img")).catch(() => {
    throw failure("PROGRAM_MISSING", { program: "GRUB for BIOS", package: "grub-pc-bin" });
  });
  if (process.getuid?.() !== 0)
    throw failure("PERMISSION_DENIED", {
      reason: "an image is built as root, since it installs packages into a folder",
    });
  const { suite, release } = await hostRelease();
  const sources = await aptSources();
  const work = await mkdtemp(join(process.env.TMPDIR ?? tmpdir(), "strata-image-"));
  try {
    const root = join(work, "root");
    const options: RootOptions = { root, work, suite, sources, signal: context.signal };
    context.progress({ phase: "Installing packages" });
    await (variant === "micro" ? makeMicroRoot(options) : makeCloudRoot(options));
    await writeBootMenu(root, variant);
    for (const folder of ["var/lib/apt/lists", "var/cache/apt"]) await empty(join(root, folder));
    context.progress({ phase: "Writing the disk" });
    const disk = join(work, "disk");
    await writeDisk(disk, root, DISK[variant], work, context.signal);
    context.progress({ phase: "Converting the disk" });
    await run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", "-o", "compat=1.1", disk, target], {
      signal: context.signal,
      package: "qemu-utils",
    });
    return { os: "Debian", release, codename: suite, username: "ubuntu" };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Codename and number of the host's Debian, which is what its apt sources have. */
async function hostRelease(): Promise<{ suite: string; release: string }> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  const field = (key: string) => new RegExp(`^${key}="?([^"\\n]*)"?$`, "m").exec(text)?.[1] ?? "";
  if (field("ID") !== "debian")
    throw failure("UNSUPPORTED", {
      what: "building a Debian image",
      engine: "this host",
      reason: "its apt sources are not Debian's",
    });
  return { suite: field("VERSION_CODENAME"), release: field("VERSION_ID") };
}

/** Files of apt sources that the host itself uses. */
async function aptSources(): Promise<string[]> {
  const folder = "/etc/apt/sources.list.d";
  const files = await readdir(folder).catch(() => []);
  const found = files
    .filter((file) => /^debian\.(sources|list)$/.test(file))
    .map((file) => join(folder, file));
  if (found.length > 0) return found;
  const classic = await readFile("/etc/apt/sources.list", "utf8").catch(() => "");
  if (/^deb\s/m.test(classic)) return ["/etc/apt/sources.list"];
  throw failure("FILE_NOT_FOUND", { path: `${folder}/debian.sources` });
}

async function empty(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
}

async function writeBootMenu(root: string, variant: Variant): Promise<void> {
  const version = await kernelVersion(root);
  const common = "mitigations=off no_timer_check tsc=reliable random.trust_cpu=on";
  const menu = [
    "set timeout=0",
    `linux /boot/vmlinuz-${version} ${KERNEL_ARGUMENTS[variant]} ${common}`,
    `initrd /boot/initrd.img-${version}`,
    "boot",
  ];
  await mkdir(join(root, "boot/grub"), { recursive: true });
  await writeFile(join(root, "boot/grub/grub.cfg"), `${menu.join("\n")}\n`);
}

/** A partitioned disk with the folder as its root file system, and GRUB put in by hand. */
async function writeDisk(
  disk: string,
  root: string,
  size: number,
  work: string,
  signal: AbortSignal,
): Promise<void> {
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
  await run("mke2fs", [...options, "-O", "^metadata_csum_seed", disk, String(blocks)], {
    signal,
    package: "e2fsprogs",
  });
  const core = join(work, "core.img");
  const modules = ["biosdisk", "part_msdos", "ext2", "normal", "linux", "configfile", "echo"];
  await run("grub-mkimage", ["-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", core, ...modules], {
    signal,
    package: "grub-common",
  });
  // 440 bytes of boot.img before the partition table; core.img from sector 1 on, where boot.img looks.
  await using file = await open(disk, "r+");
  const boot = await readFile(join(GRUB_FOLDER, "boot.img"));
  await file.write(boot, 0, 440, 0);
  const image = await readFile(core);
  await file.write(image, 0, image.length, 512);
}
