import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import type { Surroundings } from "./daemon.ts";

/** Same machine, but for what this host has not: processor extensions, and sockets of the kernel's to guests. */
const QEMU = `#!/bin/sh
n=$#
while [ $n -gt 0 ]; do
  word=$1 n=$((n - 1))
  shift
  case $previous in
    -cpu) word=qemu64 ;;
    -readconfig)
      sed -e 's/^accel = "kvm"$/accel = "tcg"/' -e '/^\\[device "qemu_vsock"\\]$/,/^$/d' "$word" > "$word.tcg"
      word=$word.tcg ;;
  esac
  previous=$word
  set -- "$@" "$word"
done
exec /usr/bin/qemu-system-x86_64 "$@"
`;

/** LXD does without the module's device where it is told that it is there. */
const MODPROBE = `#!/bin/sh
case $* in *vhost_vsock) exit 0 ;; esac
exec /sbin/modprobe "$@"
`;

/** Nobody here may lift the limit on locked memory, which only devices that are passed through need. */
const LXD = `#!/bin/sh
n=$#
while [ $n -gt 0 ]; do
  word=$1 n=$((n - 1))
  shift
  [ "$word" = limit=memlock:unlimited:unlimited ] || set -- "$@" "$word"
done
exec /usr/bin/lxd "$@"
`;

/**
 * What has a daemon of LXD take this host for one that runs virtual machines, which then run emulated. The
 * daemon, its QEMU and the guests are real; KVM, and with it LXD's agent in guests, are not there.
 */
export async function imitateMachines(folder: string): Promise<Surroundings> {
  await mkdir(folder);
  for (const [name, text] of Object.entries({ "qemu-system-x86_64": QEMU, modprobe: MODPROBE, lxd: LXD })) {
    await writeFile(join(folder, name), text);
    await chmod(join(folder, name), 0o755);
  }
  // QEMU runs as nobody; elsewhere everybody may open this.
  const tun = join(folder, "tun");
  await execa("mknod", ["-m", "666", tun, "c", "10", "200"]);
  const devices = join(folder, "dev");
  const below = await imitateDevices(devices);
  const env = { PATH: `${folder}:${process.env.PATH}`, LXD_EXEC_PATH: join(folder, "lxd") };
  return { env, mounts: { ...below, [devices]: "/dev", [tun]: "/dev/net/tun" } };
}

/**
 * Copies the host's devices and adds one for KVM, which LXD asks for and nobody can open. Resolves to what else is to
 * be mounted there.
 */
async function imitateDevices(folder: string): Promise<Record<string, string>> {
  await execa("cp", ["--archive", "--one-file-system", "/dev", folder]);
  const kvm = join(folder, "kvm");
  await rm(kvm, { force: true });
  await execa("mknod", ["-m", "600", kvm, "c", "10", "232"]);
  const mounted = (await readFile("/proc/self/mounts", "utf8")).matchAll(/^\S+ \/dev\/(\S+) /gm);
  return Object.fromEntries([...mounted].map(([, name = ""]) => [join("/dev", name), join(folder, name)]));
}
