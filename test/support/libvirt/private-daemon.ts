import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, cp, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { connect } from "../../../plugins/libvirt/rpc/index.ts";
import { clearFolders, ownFolder } from "../leftovers.ts";

/** What libvirtd takes for its own on a host; a private one sees folders of ours in their place. */
const PLACES = {
  etc: "/etc/libvirt",
  lib: "/var/lib/libvirt",
  run: "/run/libvirt",
  cache: "/var/cache/libvirt",
  log: "/var/log/libvirt",
} as const;

/** Anybody may connect, so that a test can come as another user. */
const LIBVIRTD_CONF = 'auth_unix_rw = "none"\nunix_sock_rw_perms = "0777"\nmax_clients = 1000\n';
const QEMU_CONF = 'stdio_handler = "file"\nsecurity_driver = "none"\n';

const POOL = (path: string) =>
  `<pool type="dir"><name>strata</name><target><path>${path}</path><permissions><mode>0711</mode></permissions></target></pool>`;
/** Nothing of it reaches beyond the namespace, and it needs no dnsmasq. */
const NETWORK = '<network><name>default</name><bridge name="virbr0"/><dns enable="no"/></network>';

/** A system libvirtd of the test's own, in namespaces of its own, that may be killed. */
export interface PrivateDaemon extends AsyncDisposable {
  readonly uri: string;
  /** Folder of its pool `strata`, on a file system of its own together with libvirtd's records. */
  readonly pool: string;
  /** That file system's root. */
  readonly disk: string;
  /** Outside of that file system. */
  readonly folder: string;
  /** Sends a signal to libvirtd; with SIGKILL, resolves when it is dead. */
  signal(signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): Promise<void>;
  /** Starts libvirtd, resolves when it answers. */
  start(): Promise<void>;
}

/** What a private daemon's files lie on. XFS, which shares blocks between files, takes at least 300 MiB. */
export interface FileSystem {
  readonly kind: keyof typeof MKFS;
  /** Bytes. */
  readonly size: number;
}

const MKFS = {
  ext4: ["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal"],
  xfs: ["mkfs.xfs", "-q", "-m", "reflink=1"],
} as const;

/**
 * Starts a libvirtd that shares nothing with the host's. Its file system is in memory where none is named.
 * Needs root, as libvirt's system mode does.
 */
export async function privateDaemon(fileSystem?: FileSystem): Promise<PrivateDaemon> {
  await clearFolders();
  const folder = await ownFolder("daemon");
  await chmod(folder, 0o755);
  const disk = join(folder, "disk");
  await mkdir(disk);
  await mountDisk(folder, disk, fileSystem);
  const at = {
    etc: join(disk, "etc"),
    lib: join(disk, "lib"),
    run: join(folder, "run"),
    cache: join(folder, "cache"),
    log: join(folder, "log"),
  };
  for (const place of Object.values(at)) {
    await mkdir(place, { recursive: true });
  }
  await writeFile(join(at.etc, "libvirtd.conf"), LIBVIRTD_CONF);
  await writeFile(join(at.etc, "qemu.conf"), QEMU_CONF);
  // Probing QEMU anew takes seconds; what the host's daemon has found holds here too.
  await cp(PLACES.cache, at.cache, { recursive: true });
  const holder = await openNamespaces(at);
  const uri = `qemu+unix:///system?socket=${join(at.run, "libvirt-sock")}`;
  const pool = join(disk, "pool");
  let daemon: ChildProcess | undefined;

  const start = async () => {
    const enter = ["-t", String(holder.pid), "-m", "-n"];
    // Should the test be killed, its daemon goes with it.
    const libvirtd = ["setpriv", "--pdeathsig", "KILL", "libvirtd", "-p", "/run/libvirt/libvirtd.pid"];
    daemon = spawn("nsenter", [...enter, ...libvirtd], { stdio: "ignore" });
    await once(daemon, "spawn");
    await untilAnswering(uri);
  };
  const signal: PrivateDaemon["signal"] = async (name) => {
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) {
      return;
    }
    const ended = name === "SIGKILL" ? once(daemon, "exit") : undefined;
    daemon.kill(name);
    await ended;
  };
  await start();
  await prepare(uri, pool);
  return {
    uri,
    pool,
    disk,
    folder,
    signal,
    start,
    async [Symbol.asyncDispose]() {
      await stopGuests(uri).catch(() => {});
      await signal("SIGKILL");
      holder.stdin?.end();
      await once(holder, "exit");
      await execa("umount", ["--lazy", disk]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function mountDisk(folder: string, disk: string, fileSystem: FileSystem | undefined): Promise<void> {
  if (fileSystem === undefined) {
    await execa("mount", ["-t", "tmpfs", "-o", "mode=0755,size=2G", "strata-test", disk]);
    return;
  }
  const file = join(folder, "disk.img");
  await execa("truncate", ["-s", String(fileSystem.size), file]);
  const [program, ...options] = MKFS[fileSystem.kind];
  await execa(program, [...options, file]);
  await execa("mount", ["-o", "loop", file, disk]);
}

/** A process that does nothing but keep the namespaces; it ends when its standard input does. */
async function openNamespaces(at: Readonly<Record<keyof typeof PLACES, string>>): Promise<ChildProcess> {
  const script = [
    "set -e",
    ...Object.entries(PLACES).map(([key, place]) => `mount --bind "$${key}" ${place}`),
    // As scripts/setup.sh does: a /dev/kvm that may be opened is probed at every call.
    "mknod -m 000 /run/libvirt/no-kvm c 1 3",
    "[ ! -e /dev/kvm ] || mount --bind /run/libvirt/no-kvm /dev/kvm",
    "ip link set lo up",
    "echo ready",
    "exec cat",
  ].join("\n");
  const holder = spawn("unshare", ["-m", "-n", "--propagation", "private", "sh", "-c", script], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...at },
  });
  const ready = once(holder.stdout, "data");
  const failed = once(holder, "exit").then(([code]) => {
    throw new Error(`no namespaces for a private libvirtd: exit ${code}`);
  });
  await Promise.race([ready, failed]);
  failed.catch(() => {});
  return holder;
}

async function untilAnswering(uri: string): Promise<void> {
  const end = Date.now() + 60_000;
  for (;;) {
    try {
      return await greet(uri);
    } catch (error) {
      if (Date.now() > end) {
        throw error;
      }
      await delay(20);
    }
  }
}

/** Of its own: esbuild carries the error of one round of a loop over to the `await using` of the next. */
async function greet(uri: string): Promise<void> {
  await using connection = await connect(uri);
  await connection.libVersion();
}

async function prepare(uri: string, path: string): Promise<void> {
  await using connection = await connect(uri);
  const pool = await connection.defineStoragePool(POOL(path));
  await pool.build();
  await pool.create();
  await pool.setAutostart(true);
  const network = await connection.defineNetwork(NETWORK);
  await network.create();
}

async function stopGuests(uri: string): Promise<void> {
  await using connection = await connect(uri);
  for (const domain of await connection.listDomains()) {
    if (await domain.isActive()) {
      await domain.destroy();
    }
  }
}
