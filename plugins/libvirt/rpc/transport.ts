import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, constants, mkdir } from "node:fs/promises";
import { createConnection } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import { Duplex, PassThrough } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { ConnectionLostError, reasonOf } from "./errors.ts";
import { traceDaemon } from "./trace.ts";
import type { Target } from "./uri.ts";

/** Daemons that serve the QEMU driver: the one for all, and the modular one with the name of its socket. */
const DAEMONS = [
  { program: "libvirtd", socket: "libvirt-sock" },
  { program: "virtqemud", socket: "virtqemud-sock" },
] as const;

/** How long a session daemon that was just started may take to listen, ms. */
const STARTING = 20_000;

/** Opens the byte stream to the daemon. */
export async function openTransport(
  target: Target,
  readOnly: boolean,
  signal?: AbortSignal,
): Promise<Duplex> {
  if (target.ssh !== undefined) {
    return openSsh(target, target.ssh);
  }
  if (target.socket !== undefined) {
    return openSocket(target.socket, signal);
  }
  const folder = target.session ? join(runtimeFolder(), "libvirt") : "/run/libvirt";
  const suffix = readOnly && !target.session ? "-ro" : "";
  const paths = DAEMONS.map(({ socket }) => join(folder, socket + suffix));
  try {
    return await openFirst(paths, signal);
  } catch (error) {
    if (!(error instanceof Error && isAbsent(error.cause))) {
      throw error;
    }
    const daemon = await findDaemon();
    if (daemon === undefined) {
      throw new ConnectionLostError("no libvirtd or virtqemud is installed", {
        cause: error.cause,
        notInstalled: true,
      });
    }
    if (!target.session) {
      throw error;
    }
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await startDaemon(daemon);
  }
  return untilListening(paths, signal);
}

/** Where libvirt looks for the sockets of a user's own daemons. */
function runtimeFolder(): string {
  return process.env.XDG_RUNTIME_DIR || process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
}

function isAbsent(error: unknown): boolean {
  return (
    error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ECONNREFUSED")
  );
}

async function openFirst(paths: readonly string[], signal?: AbortSignal): Promise<Duplex> {
  let absent: unknown;
  for (const path of paths) {
    try {
      return await openSocket(path, signal);
    } catch (error) {
      if (!(error instanceof Error && isAbsent(error.cause))) {
        throw error;
      }
      absent ??= error;
    }
  }
  throw absent;
}

async function openSocket(path: string, signal?: AbortSignal): Promise<Duplex> {
  signal?.throwIfAborted();
  const socket = createConnection(path);
  try {
    await once(socket, "connect", signal === undefined ? {} : { signal });
    return socket;
  } catch (error) {
    socket.destroy();
    signal?.throwIfAborted();
    const reason = reasonOf(error);
    throw new ConnectionLostError(reason, { cause: error });
  }
}

/** Path of the daemon that is installed. */
async function findDaemon(): Promise<string | undefined> {
  for (const { program } of DAEMONS) {
    const path = await findProgram(program);
    if (path !== undefined) {
      return path;
    }
  }
  return undefined;
}

/** Starts the user's own daemon as libvirt's client library does; it ends by itself when it is idle. */
async function startDaemon(path: string): Promise<void> {
  const args = ["--timeout=120"];
  const daemon = spawn(path, args, { detached: true, stdio: "ignore" });
  await once(daemon, "spawn");
  traceDaemon(path, args);
  daemon.unref();
}

async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/usr/local/sbin"]) {
    const path = join(folder, name);
    const found = await access(path, constants.X_OK).then(
      () => folder !== "",
      () => false,
    );
    if (found) {
      return path;
    }
  }
  return undefined;
}

async function untilListening(paths: readonly string[], signal?: AbortSignal): Promise<Duplex> {
  const end = Date.now() + STARTING;
  for (;;) {
    try {
      return await openFirst(paths, signal);
    } catch (error) {
      if (Date.now() > end || !(error instanceof Error && isAbsent(error.cause))) {
        throw error;
      }
    }
    await delay(50, undefined, signal === undefined ? {} : { signal });
  }
}

/**
 * libvirt's helper on the far side, spoken to over the stdio of ssh. The user's ssh configuration holds.
 * Prompts would mix with the protocol's bytes, so ssh is told not to ask.
 */
async function openSsh(target: Target, ssh: NonNullable<Target["ssh"]>): Promise<Duplex> {
  const login = ssh.user === "" ? ssh.host : `${ssh.user}@${ssh.host}`;
  const port = ssh.port === "" ? [] : ["-p", ssh.port];
  const far = target.socket === undefined ? ["virt-ssh-helper", target.driver] : ["nc", "-U", target.socket];
  const child = spawn("ssh", ["-T", "-o", "BatchMode=yes", ...port, "--", login, ...far], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  const complaints: Buffer[] = [];
  child.stderr.on("data", (chunk: Buffer) => complaints.push(chunk));
  await once(child, "spawn").catch((error: unknown) => {
    throw new ConnectionLostError(reasonOf(error), { cause: error });
  });
  // Neither the end of its output nor that it takes no more input must be told before what it said of the
  // reason is read.
  const output = child.stdout.pipe(new PassThrough(), { end: false });
  const input = new PassThrough();
  input.pipe(child.stdin).on("error", () => {});
  const stream = Duplex.from({ writable: input, readable: output });
  child.once("close", (code) => {
    const reason = Buffer.concat(complaints).toString("utf8").trim();
    stream.destroy(new ConnectionLostError(reason || `ssh ended with status ${code}`));
  });
  stream.once("close", () => child.kill());
  return stream;
}
