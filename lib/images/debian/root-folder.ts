import { chmod, cp, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { execa } from "execa";
import { makeFolder } from "../../util/own-files.ts";
import { traced } from "../../util/trace.ts";
import {
  CLOUD_FILES,
  CLOUD_LINKS,
  CLOUD_PACKAGES,
  CLOUD_SERVICES,
  INITRAMFS_CONF,
  INITRAMFS_MODULES,
} from "./cloud-files.ts";
import {
  CONTAINER_FILES,
  CONTAINER_LINKS,
  CONTAINER_PACKAGES,
  CONTAINER_SERVICES,
} from "./container-files.ts";
import { MICRO_FILES, MICRO_LINKS, MICRO_PACKAGES } from "./micro-files.ts";
import { INITRD_DRIVERS, INITRD_INIT } from "./micro-init.ts";
import type { AsRoot } from "./superuser.ts";

export interface RootOptions {
  /** Folder that is created and filled. */
  readonly root: string;
  /** Folder for temporary files. */
  readonly work: string;
  readonly suite: string;
  /** The host's list of apt sources. */
  readonly sources: readonly string[];
  readonly asRoot: AsRoot;
  readonly signal: AbortSignal;
}

const DPKG_OPTIONS = ["man", "doc", "locale"].map((kind) => `--dpkgopt=path-exclude=/usr/share/${kind}/*`);

async function bootstrap(
  o: RootOptions,
  packages: readonly string[],
  hooks: readonly string[],
): Promise<void> {
  await o.asRoot(
    "mmdebstrap",
    [
      "--variant=minbase",
      "--mode=root",
      `--include=${packages.join(",")}`,
      '--aptopt=APT::Install-Recommends "false"',
      ...DPKG_OPTIONS,
      "--dpkgopt=force-confold",
      ...hooks,
      o.suite,
      o.root,
      ...o.sources,
    ],
    "mmdebstrap",
  );
}

/** Debian with systemd and cloud-init. */
export async function makeCloudRoot(o: RootOptions): Promise<void> {
  const conf = join(o.work, "initramfs.conf");
  const modules = join(o.work, "initramfs.modules");
  await writeFile(conf, INITRAMFS_CONF);
  await writeFile(modules, INITRAMFS_MODULES);
  await bootstrap(o, CLOUD_PACKAGES, [
    '--essential-hook=mkdir -p "$1/etc/initramfs-tools/conf.d"',
    `--essential-hook=upload ${conf} /etc/initramfs-tools/conf.d/guest`,
    `--essential-hook=upload ${modules} /etc/initramfs-tools/modules`,
  ]);
  await writeFiles(o.root, CLOUD_FILES, CLOUD_LINKS);
  await rm(join(o.root, "var/lib/dbus/machine-id"), { force: true });
  await removeHostKeys(o.root);
  await o.asRoot("chroot", [o.root, "systemctl", "-q", "enable", ...CLOUD_SERVICES]);
  await removeDownloads(o);
}

/** Debian with systemd and cloud-init for a container: the host's kernel runs it. */
export async function makeContainerRoot(o: RootOptions): Promise<void> {
  await bootstrap(o, CONTAINER_PACKAGES, []);
  await writeFiles(o.root, CONTAINER_FILES, CONTAINER_LINKS);
  await rm(join(o.root, "var/lib/dbus/machine-id"), { force: true });
  await o.asRoot("chroot", [o.root, "systemctl", "-q", "enable", ...CONTAINER_SERVICES]);
  await removeDownloads(o);
}

/** Every Debian 12 has these, so that they make no difference to images of it. */
const ESSENTIAL_BEFORE_TRIXIE = ["e2fsprogs"];

/** Debian's userland and kernel without systemd; boots within seconds even under emulation. */
export async function makeMicroRoot(o: RootOptions): Promise<void> {
  await bootstrap(
    o,
    [...MICRO_PACKAGES, ...ESSENTIAL_BEFORE_TRIXIE],
    [
      '--essential-hook=mkdir -p "$1/etc/initramfs-tools"; printf "do_initrd = no\\n" > "$1/etc/kernel-img.conf"; printf "update_initramfs=no\\n" > "$1/etc/initramfs-tools/update-initramfs.conf"',
    ],
  );
  await writeFiles(o.root, MICRO_FILES, MICRO_LINKS);
  await removeHostKeys(o.root);
  const inside = (...command: string[]) => o.asRoot("chroot", [o.root, ...command]);
  await inside("useradd", "-m", "-s", "/bin/bash", "-G", "adm,sudo", "-c", "Ubuntu", "ubuntu");
  await inside("usermod", "-p", "*", "ubuntu");
  await makeInitrd(o);
  await removeDownloads(o);
}

async function writeFiles(
  root: string,
  files: Readonly<Record<string, readonly [mode: number, text: string]>>,
  links: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [path, [mode, text]] of Object.entries(files)) {
    const target = join(root, path);
    await makeFolder(dirname(target), 0o755);
    await rm(target, { force: true });
    await writeFile(target, text);
    await chmod(target, mode);
  }
  for (const [path, target] of Object.entries(links)) {
    await makeFolder(dirname(join(root, path)), 0o755);
    await rm(join(root, path), { force: true });
    await symlink(target, join(root, path));
  }
}

/** Removes what apt has downloaded. As root, since an ordinary user may not read all of it. */
async function removeDownloads({ root, asRoot }: RootOptions): Promise<void> {
  await asRoot("find", [
    ...["var/lib/apt/lists", "var/cache/apt"].map((folder) => join(root, folder)),
    "-type",
    "f",
    "-delete",
  ]);
}

/** Removes the host keys, which belong to an instance and not to an image. */
async function removeHostKeys(root: string): Promise<void> {
  const folder = join(root, "etc/ssh");
  const files = await readdir(folder).catch(() => []);
  for (const file of files) {
    if (file.startsWith("ssh_host_")) {
      await rm(join(folder, file));
    }
  }
}

/** Version of the one kernel in the root folder. */
export async function kernelVersion(root: string): Promise<string> {
  const kernel = (await readdir(join(root, "boot"))).find((file) => file.startsWith("vmlinuz-"));
  if (kernel === undefined) {
    throw new Error("no kernel was installed");
  }
  return kernel.slice("vmlinuz-".length);
}

/** An initial RAM disk with busybox and the drivers for a virtio disk or, failing that, for virtio's SCSI. */
async function makeInitrd({ root, work, asRoot, signal }: RootOptions): Promise<void> {
  const version = await kernelVersion(root);
  const folder = join(work, "initrd");
  for (const each of ["bin", "dev", "proc", "sys", "root"]) {
    await mkdir(join(folder, each), { recursive: true });
  }
  await cp(join(root, "bin/busybox"), join(folder, "bin/busybox"));
  const modules: string[] = [];
  for (const [list, drivers] of Object.entries(INITRD_DRIVERS)) {
    const first = modules.length;
    for (const driver of drivers) {
      const listed = await asRoot("chroot", [root, "modprobe", "-S", version, "--show-depends", driver]);
      for (const [, path = ""] of listed.matchAll(/^insmod (\S+)/gm)) {
        const name = basename(path);
        if (modules.includes(name)) {
          continue;
        }
        modules.push(name);
        await cp(join(root, path), join(folder, name));
      }
    }
    const order = modules.slice(first).map((name) => `${name}\n`);
    await writeFile(join(folder, list), order.join(""));
  }
  await writeFile(join(folder, "init"), INITRD_INIT, { mode: 0o755 });
  const start = (program: string, args: string[], settings: { stdout?: { file: string } } = {}) =>
    traced(program, args, execa(program, args, { cwd: folder, cancelSignal: signal, ...settings }));
  const image = join(root, `boot/initrd.img-${version}`);
  await start("find", ["."])
    .pipe(start("cpio", ["-o", "-H", "newc", "--quiet"]))
    .pipe(start("gzip", ["-9"], { stdout: { file: image } }));
}
