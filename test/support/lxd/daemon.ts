import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { execa } from "execa";
import { clearFolder, endProcesses, leftFolders, ownFolder } from "../leftovers.ts";
import { testServer } from "./server.ts";

const ROOT = "/var/tmp";
const SUBIDS = ["/etc/subuid", "/etc/subgid"];

/**
 * A daemon of LXD that belongs to a test: its own folder, pool, bridge and mounts, and its own idea of
 * `/etc/subuid` and `/etc/subgid`. Needs root.
 */
export interface LxdDaemon extends AsyncDisposable {
  readonly folder: string;
  /** Its storage pools as seen from here, while it lives. */
  readonly pools: string;
  readonly socket: string;
  readonly pid: number;
  /** Runs the server's own client against it; resolves to its output. */
  lxc(...args: readonly string[]): Promise<string>;
  /** Lets containers have these ids of the host, and no others, for users and for groups. */
  allow(ids: readonly number[]): Promise<void>;
  /** Ends it without a warning. */
  kill(): Promise<void>;
}

/** A folder for daemons, from which whatever is left of them is taken away in the end. */
export async function lxdFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  await sweep();
  const path = await ownFolder("daemon", ROOT);
  // The root of a container is another user outside of it, and must get to its disk.
  await chmod(path, 0o711);
  return { path, [Symbol.asyncDispose]: () => clear(path) };
}

/** What a daemon is to see that is not so on the host. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string>>;
  /** Files of ours, and in the place of which it sees them. */
  readonly mounts: Readonly<Record<string, string>>;
}

/** Starts a daemon in a folder and sets it up as `lxd init --preseed` does. */
export async function startDaemon(
  folder: string,
  preseed?: string,
  surroundings: Surroundings = { env: {}, mounts: {} },
): Promise<LxdDaemon> {
  await mkdir(folder, { recursive: true });
  const { flavour, daemon, waitReady, init, shutdown } = testServer;
  const env = { ...process.env, [flavour.variables.folder]: folder };
  const log = openSync(`${folder}.log`, "a");
  const allow = async (ids: readonly number[]) => {
    for (const file of SUBIDS) {
      const given = await readFile(file, "utf8");
      await writeFile(`${folder}.${basename(file)}`, given + ids.map((id) => `root:${id}:1\n`).join(""));
    }
  };
  await allow([]);
  const subids = SUBIDS.map((file) => [`${folder}.${basename(file)}`, file]);
  const bind = [...subids, ...Object.entries(surroundings.mounts)]
    .map(([ours, theirs]) => `mount --rbind "${ours}" "${theirs}"`)
    .join(" && ");
  const command = ["--mount", "sh", "-c", `${bind} && exec ${daemon} --group root`];
  const child = spawn("unshare", command, {
    env: { ...env, ...surroundings.env },
    detached: true,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  const ended = once(child, "exit");
  const { pid } = child;
  if (pid === undefined) {
    throw new Error(`${daemon} could not be started`);
  }
  const options = { env, stdin: "ignore" as const };
  const call = ([program = "", ...args]: readonly string[], more: object) =>
    execa(program, args, { ...options, ...more });
  await call(waitReady, {});
  if (preseed !== undefined) {
    await call(init, { stdin: "pipe", input: preseed });
  }
  return {
    folder,
    pools: join(`/proc/${pid}/root`, folder, "storage-pools"),
    allow,
    socket: join(folder, "unix.socket"),
    pid,
    lxc: async (...args) => (await execa(flavour.client, args, options)).stdout,
    async kill() {
      process.kill(pid, "SIGKILL");
      await ended;
    },
    async [Symbol.asyncDispose]() {
      await call(shutdown, { reject: false });
      if (child.exitCode === null && child.signalCode === null) {
        process.kill(pid, "SIGKILL");
      }
      await ended;
    },
  };
}

/** Takes away what test runs that were killed have left. */
async function sweep(): Promise<void> {
  for (const folder of await leftFolders(ROOT)) {
    await clear(folder);
  }
}

/** Ends every process that works in the folder, then takes away its bridges and all else. */
async function clear(path: string): Promise<void> {
  const bridges = await bridgesOf(path);
  await endProcesses(path);
  // A container that was cut down may leave its end of a cable behind, which keeps the other one.
  for (const link of [...(await cablesOf(bridges)), ...bridges]) {
    await execa("ip", ["link", "delete", link], { reject: false });
  }
  await clearFolder(path);
}

async function bridgesOf(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const daemon of await readdir(path).catch(() => [])) {
    found.push(...(await readdir(join(path, daemon, "networks")).catch(() => [])));
  }
  return found;
}

async function cablesOf(bridges: readonly string[]): Promise<string[]> {
  const ports = bridges.map((bridge) => readdir(join("/sys/class/net", bridge, "brif")).catch(() => []));
  return (await Promise.all(ports)).flat();
}
