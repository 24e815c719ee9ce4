import { chmod, mkdtemp, readFile, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Context } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import { requireSpace } from "../../util/free-space.ts";
import { makeFolder } from "../../util/own-files.ts";
import { requirePrograms, run } from "../../util/programs.ts";
import { inspectImage } from "../inspect.ts";
import type { ImageFormat } from "../record.ts";
import { containerMetadata } from "./container-files.ts";
import { GRUB, writeDisk } from "./disk.ts";
import { aptSources, chooseRelease, hostRelease, sourcesFor } from "./host.ts";
import {
  kernelVersion,
  makeCloudRoot,
  makeContainerRoot,
  makeMicroRoot,
  type RootOptions,
} from "./root-folder.ts";
import { becomeRoot } from "./superuser.ts";

export const VARIANTS = ["micro", "cloud", "container"] as const;
export type Variant = (typeof VARIANTS)[number];

/** Properties of the built image, in addition to the file. */
export interface BuiltImage {
  readonly os: string;
  readonly release: string;
  readonly codename: string;
  /** It is another release than the host's. */
  readonly foreign: boolean;
  /** The default user. */
  readonly username: string;
  readonly format: ImageFormat;
  /** Bytes: the least a disk made from it can have. */
  readonly virtualSize: bigint;
}

const CONTAINER_PROGRAMS = { mmdebstrap: "mmdebstrap", tar: "tar", zstd: "zstd", unshare: "util-linux" };
const PROGRAMS = {
  mmdebstrap: "mmdebstrap",
  mke2fs: "e2fsprogs",
  sfdisk: "fdisk",
  "grub-mkimage": "grub-common",
  mformat: "mtools",
  "qemu-img": "qemu-utils",
  cpio: "cpio",
  gzip: "gzip",
  unshare: "util-linux",
};

const MIB = 1024 * 1024;
/** Variants with their own kernel. */
type Machine = Exclude<Variant, "container">;
/** Size of the disk in the image; the guest grows its root on a larger one. */
export const DISK: Readonly<Record<Machine, number>> = { micro: 1024 * MIB, cloud: 1400 * MIB };

/**
 * Approximate space that a build needs while it runs (root folder, packages, disk) and at its end, bytes; not
 * less than it really takes.
 */
const ROOM: Readonly<Record<Variant, { readonly work: bigint; readonly image: bigint }>> = {
  micro: { work: BigInt(1400 * MIB), image: BigInt(400 * MIB) },
  cloud: { work: BigInt(1800 * MIB), image: BigInt(500 * MIB) },
  container: { work: BigInt(700 * MIB), image: BigInt(100 * MIB) },
};

/** On a busy host, an emulated timer may fail the kernel's check of it, which would end the boot. */
export const KERNEL_ARGUMENTS: Readonly<Record<Machine, string>> = {
  micro: "root=LABEL=root rw console=ttyS0 quiet no_timer_check",
  cloud: "root=LABEL=root ro console=tty0 console=ttyS0 quiet net.ifnames=0 no_timer_check",
};

/**
 * Builds a Debian guest at `target` from the packages of the host's own apt sources: a bootable disk as a
 * qcow2 file, or the root folder of a container as a tarball. Mounts nothing and uses no loop device. Needs
 * root or a user namespace; PROGRAM_MISSING names every program that is not installed, UNSUPPORTED a host
 * that is not Debian. `wanted` is a release other than the host's, from the same mirror.
 */
export async function buildDebian(
  variant: Variant,
  target: string,
  context: Context,
  wanted?: string,
): Promise<BuiltImage> {
  const { signal } = context;
  const { host, sources: own, asRoot } = await requireBuildable(variant, signal);
  const { suite, release } = wanted === undefined ? host : chooseRelease(wanted, host);
  // Not /tmp, which may be in memory: a root folder and a disk take more than a gigabyte.
  const room = process.env.TMPDIR ?? "/var/tmp";
  await requireSpace(room, ROOM[variant].work);
  await requireSpace(dirname(target), ROOM[variant].image);
  const work = await mkdtemp(join(room, "strata-image-"));
  try {
    // apt's own user reads the packages in it.
    await chmod(work, 0o755);
    const sources = suite === host.suite ? own : await translateSources(own, work, host.suite, suite);
    const options: RootOptions = { root: join(work, "rootfs"), work, suite, sources, asRoot, signal };
    context.progress({ phase: "Installing packages" });
    const built = {
      os: "Debian",
      release,
      codename: suite,
      foreign: suite !== host.suite,
      username: "ubuntu",
    };
    if (variant === "container") {
      return { ...built, format: "lxd-rootfs", virtualSize: await buildContainer(options, target, context) };
    }
    return { ...built, format: "qcow2", virtualSize: await buildMachine(variant, options, target, context) };
  } finally {
    // As root, because an ordinary user's folder contains files of the user's subordinate ids.
    const cleaner = await becomeRoot(AbortSignal.timeout(600_000));
    await cleaner("rm", ["-rf", "--one-file-system", work]);
  }
}

/** What this host offers for a build. Rejects as `buildDebian` does if it cannot build. */
export async function requireBuildable(variant: Variant, signal: AbortSignal) {
  await requirePrograms(variant === "container" ? CONTAINER_PROGRAMS : PROGRAMS);
  if (variant !== "container") {
    await requireGrub();
  }
  const host = await hostRelease();
  const sources = await aptSources();
  return { host, sources, asRoot: await becomeRoot(signal) };
}

/** Copies of the host's apt sources that name another release. */
async function translateSources(
  files: readonly string[],
  work: string,
  from: string,
  to: string,
): Promise<string[]> {
  const copies: string[] = [];
  for (const file of files) {
    const copy = join(work, `${to}-${basename(file)}`);
    await writeFile(copy, sourcesFor(await readFile(file, "utf8"), from, to));
    copies.push(copy);
  }
  return copies;
}

async function requireGrub(): Promise<void> {
  for (const [firmware, { folder, package: name }] of Object.entries(GRUB)) {
    await stat(join(folder, "moddep.lst")).catch(() => {
      throw failure("PROGRAM_MISSING", { program: `GRUB for ${firmware}`, package: name });
    });
  }
}

/** Resolves to the size of the disk. */
async function buildMachine(
  variant: Machine,
  options: RootOptions,
  target: string,
  context: Context,
): Promise<bigint> {
  const { root, work, asRoot, signal } = options;
  await (variant === "micro" ? makeMicroRoot(options) : makeCloudRoot(options));
  await writeBootMenu(root, variant);
  context.progress({ phase: "Writing the disk" });
  const disk = join(work, "disk");
  await writeDisk({ disk, root, size: DISK[variant], work, asRoot, signal });
  context.progress({ phase: "Converting the disk" });
  await run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", "-o", "compat=1.1", disk, target], {
    signal,
    package: "qemu-utils",
  });
  const source = `built: debian ${variant}`;
  return (await inspectImage(source, target, signal)).virtualSize;
}

/** Resolves to the space that the root folder takes, in whole MiB with some reserve. */
async function buildContainer(options: RootOptions, target: string, context: Context): Promise<bigint> {
  const { root, work, suite, asRoot } = options;
  await makeContainerRoot(options);
  context.progress({ phase: "Writing the tarball" });
  await writeFile(join(work, "metadata.yaml"), containerMetadata(suite, Date.now()));
  const names = ["metadata.yaml", basename(root)];
  const tar = ["-C", work, "--numeric-owner", "--xattrs", "--sort=name", "--use-compress-program=zstd -T0"];
  await asRoot("tar", [...tar, "-cf", target, ...names], "tar");
  const used = await asRoot("du", ["--summarize", "--block-size=1M", root], "coreutils");
  return (BigInt(Number.parseInt(used, 10)) + 32n) * BigInt(MIB);
}

async function writeBootMenu(root: string, variant: Machine): Promise<void> {
  const version = await kernelVersion(root);
  const menu = [
    "set timeout=0",
    `linux /boot/vmlinuz-${version} ${KERNEL_ARGUMENTS[variant]}`,
    `initrd /boot/initrd.img-${version}`,
    "boot",
  ];
  await makeFolder(join(root, "boot/grub"), 0o755);
  await writeFile(join(root, "boot/grub/grub.cfg"), `${menu.join("\n")}\n`);
}
