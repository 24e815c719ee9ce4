import { createHash } from "node:crypto";
import { lstatSync, mkdirSync } from "node:fs";
import { connect } from "node:net";
import { isAbsolute, join } from "node:path";
import { failure } from "../errors.ts";
import { systemReason } from "../util/own-files.ts";
import { type Address, formatAddress } from "./address.ts";

/** Seconds for which ssh keeps a connection that no command uses. */
const KEPT = 600;
/** Seconds for a host to answer a new connection. */
const ANSWER = 10;
/** Seconds between the questions whether the other end is still there, and how many may go unanswered. */
const ALIVE = { interval: 15, count: 3 };
/** Longest path of a socket that ssh can make, which adds 17 characters to it first. */
const LONGEST = 107 - 17;

/** How ssh is to behave beside where it goes. */
export interface SshOptions {
  /** Socket of the kept connection. */
  readonly control: string;
  /** Whether a new connection is kept for others. */
  readonly keep: boolean;
  /** Whether ssh may ask for a password, a passphrase or about a host key. */
  readonly ask: boolean;
  readonly terminal: boolean;
}

/**
 * The arguments of ssh. The user's own configuration decides how a host is reached; what could give the other host
 * more than its command is off.
 */
export function sshArguments(
  { user, host, port }: Address,
  { control, keep, ask, terminal }: SshOptions,
  command: string,
): string[] {
  const options = {
    ControlMaster: keep ? "auto" : "no",
    ControlPath: control.replaceAll("%", "%%"),
    ControlPersist: String(KEPT),
    ConnectTimeout: String(ANSWER),
    ServerAliveInterval: String(ALIVE.interval),
    ServerAliveCountMax: String(ALIVE.count),
    BatchMode: ask ? "no" : "yes",
    ForwardAgent: "no",
    ForwardX11: "no",
    ClearAllForwardings: "yes",
    PermitLocalCommand: "no",
    RemoteCommand: "none",
    LogLevel: "ERROR",
  };
  return [
    terminal ? "-t" : "-T",
    ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
    ...(user === undefined ? [] : ["-l", user]),
    ...(port === undefined ? [] : ["-p", String(port)]),
    "--",
    host,
    command,
  ];
}

/** The socket of the kept connection to a host, in a folder that nobody else can use. */
export function controlPath(address: Address, env: NodeJS.ProcessEnv): string {
  const name = socketName(address);
  const uid = process.geteuid?.() ?? 0;
  const { XDG_RUNTIME_DIR: runtime } = env;
  const own = runtime !== undefined && isAbsolute(runtime) ? join(runtime, "strata") : undefined;
  const folder =
    own !== undefined && Buffer.byteLength(join(own, name)) <= LONGEST && isPrivate(own, uid)
      ? own
      : `/tmp/strata-${uid}`;
  if (folder !== own && !isPrivate(folder, uid)) {
    throw failure("FOLDER_UNUSABLE", { path: folder, reason: "it must be a folder that only you can use" });
  }
  return join(folder, name);
}

/** A name that no other address has; long ones are shortened. */
function socketName(address: Address): string {
  const plain = formatAddress(address).slice("ssh://".length);
  return plain.length <= 40 ? plain : createHash("sha256").update(plain).digest("hex").slice(0, 40);
}

/** Creates the folder if it is missing; false if it is not ours alone. */
function isPrivate(folder: string, uid: number): boolean {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (systemReason(error) !== "file already exists") {
      return false;
    }
  }
  const found = lstatSync(folder, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === uid && (found.mode & 0o077) === 0;
}

/** Whether a kept connection is there. ssh is asked by nothing more, which would take as long as a command. */
export function isConnected(control: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(control);
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}
