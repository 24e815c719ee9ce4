import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { PassThrough, type Readable, type Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { errnoOf, failure, type StrataError } from "../errors.ts";
import { traced } from "../util/trace.ts";
import { type Address, formatAddress } from "./address.ts";
import { Announcement } from "./announcement.ts";
import { farInterrupt, farScript, farStrata } from "./script.ts";
import { controlPath, isConnected, sshArguments } from "./ssh.ts";

/** A host that a connection is kept to. */
export interface Connection {
  readonly address: Address;
  /** As the user named it. */
  readonly name: string;
  /** Socket of the kept connection. */
  readonly control: string;
}

export interface ConnectOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Whether ssh may ask on the terminal. */
  readonly ask: boolean;
  readonly signal: AbortSignal;
}

/** Exit status of ssh for its own failures. */
const OWN_FAILURE = 255;

/** Connects to a host, unless a connection is kept; rejects with HOST_UNREACHABLE. */
export async function connectTo(
  name: string,
  address: Address,
  { env, ask, signal }: ConnectOptions,
): Promise<Connection> {
  const control = controlPath(address, env);
  const connection = { name, address, control };
  if (await isConnected(control)) {
    return connection;
  }
  const options = { control, keep: true, ask, terminal: false };
  const child = start(sshArguments(address, options, farScript(":")), ["ignore", "ignore", "pipe"], signal);
  const said = child.stderr === null ? "" : text(child.stderr).catch(() => "");
  const code = await ended(child, signal);
  if (code !== 0) {
    throw unreachable(connection, (await said) || `ssh ended with ${code}`);
  }
  return connection;
}

/** What a command on another host has for its input and output. */
export interface Streams {
  /** With one, all streams are this process's own. */
  readonly terminal: boolean;
  /** False where the command reads nothing: ssh would read ahead of the next program. */
  readonly input: boolean;
  readonly stderr: NodeJS.WritableStream;
  readonly signal: AbortSignal;
}

/** Runs strata on a host, on this process's own input and output; resolves to its exit code. */
export async function runStrata(
  connection: Connection,
  words: readonly string[],
  streams: Streams,
): Promise<number> {
  const code = streams.terminal
    ? await runOnTerminal(connection, words, streams.signal)
    : await runApart(connection, words, streams);
  if (code === OWN_FAILURE && !(await isConnected(connection.control))) {
    throw failure("HOST_LOST", { host: connection.name });
  }
  return code;
}

/** The terminal is raw, so Ctrl-C is a character like others, and the terminal there makes a signal of it. */
async function runOnTerminal(
  { name, address, control }: Connection,
  words: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const options = { control, keep: false, ask: true, terminal: true };
  const args = sshArguments(address, options, farStrata(name, "", words));
  return ended(start(args, ["inherit", "inherit", "inherit"], signal), signal);
}

/** Without a terminal, a second command signals the process group of the first, which says what that is. */
async function runApart(
  connection: Connection,
  words: readonly string[],
  { input, stderr, signal }: Streams,
): Promise<number> {
  const { child, announcement, interrupt } = startApart(connection, words, [
    input ? "inherit" : "ignore",
    "inherit",
    "pipe",
  ]);
  signal.addEventListener("abort", interrupt, { once: true });
  try {
    const passedOn = child.stderr === null ? undefined : announcement.passOn(child.stderr, stderr);
    if (signal.aborted) {
      interrupt();
    }
    const code = await ended(child);
    await passedOn;
    return code;
  } finally {
    signal.removeEventListener("abort", interrupt);
  }
}

interface Apart {
  readonly child: ChildProcess;
  readonly announcement: Announcement;
  /** Interrupts the command there, or ends ssh if it has not begun. */
  interrupt(): void;
}

function startApart(connection: Connection, words: readonly string[], stdio: Stdio): Apart {
  const { name, address, control } = connection;
  const mark = `strata-${process.pid}-${Date.now()}`;
  const options = { control, keep: false, ask: false, terminal: false };
  // Ctrl-C is for the command there: ssh is in a group of its own, or it would end before it has passed on the rest.
  const child = start(sshArguments(address, options, farStrata(name, mark, words)), stdio);
  endWithUs(child);
  const announcement = new Announcement(mark);
  return {
    child,
    announcement,
    interrupt() {
      announcement.group.then(
        (group) => interruptGroup(connection, group),
        () => void child.kill(),
      );
    },
  };
}

/** Starts strata on a host, with streams of the caller's: a session as of a command in a guest. */
export function openStrata(
  connection: Connection,
  words: readonly string[],
  signal: AbortSignal,
): FarSession {
  const { child, announcement, interrupt } = startApart(connection, words, ["pipe", "pipe", "pipe"]);
  const { stdin, stdout, stderr: from } = child;
  if (stdin === null || stdout === null || from === null) {
    throw failure("INTERNAL", { reason: "ssh was started without pipes" });
  }
  const stderr = new PassThrough();
  const passedOn = announcement.passOn(from, stderr).finally(() => stderr.end());
  // Of a host that is gone, ssh would notice nothing for a while.
  const cancel = () => {
    interrupt();
    child.kill();
  };
  signal.addEventListener("abort", cancel, { once: true });
  if (signal.aborted) {
    cancel();
  }
  const exit = (async () => {
    const [code] = await Promise.all([ended(child), passedOn]);
    signal.removeEventListener("abort", cancel);
    if (signal.aborted) {
      throw failure("CANCELLED", {}, signal.reason);
    }
    if (code === OWN_FAILURE && !(await isConnected(connection.control))) {
      throw failure("HOST_LOST", { host: connection.name });
    }
    return { code };
  })();
  exit.catch(() => {});
  stdin.on("error", () => {});
  return {
    stdin,
    stdout,
    stderr,
    exit,
    async [Symbol.asyncDispose]() {
      child.kill();
      await exit.catch(() => {});
    },
  };
}

/** Disposed of before its end, it ends at once. */
export interface FarSession extends AsyncDisposable {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exit: Promise<{ readonly code: number }>;
}

/** Starts a script on a host, which ends with this process; what it reads, it is sent. */
export function openScript({ address, control }: Connection, command: string): ChildProcess {
  const options = { control, keep: false, ask: false, terminal: false };
  const child = start(sshArguments(address, options, command), ["pipe", "pipe", "pipe"]);
  endWithUs(child);
  return child;
}

function endWithUs(child: ChildProcess): void {
  const end = () => void child.kill();
  process.once("exit", end);
  child.once("close", () => process.off("exit", end));
}

function interruptGroup({ address, control }: Connection, group: number): void {
  const options = { control, keep: false, ask: false, terminal: false };
  start(sshArguments(address, options, farInterrupt(group)), ["ignore", "ignore", "ignore"]).once(
    "error",
    () => {},
  );
}

type Stream = "ignore" | "inherit" | "pipe";
type Stdio = [stdin: Stream, stdout: Stream, stderr: Stream];

/** Starts ssh; with a signal, that ends it. */
function start(args: readonly string[], stdio: Stdio, signal?: AbortSignal): ChildProcess {
  const options = signal === undefined ? { detached: true } : { signal };
  return traced("ssh", args, spawn("ssh", args, { stdio, ...options }));
}

/** Resolves to the exit status of ssh. */
export async function ended(child: ChildProcess, signal?: AbortSignal): Promise<number> {
  const [code] = await (once(child, "exit") as Promise<[number | null]>).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") {
      throw failure("PROGRAM_MISSING", { program: "ssh", package: "openssh-client" }, error);
    }
    throw signal?.aborted ? failure("CANCELLED", {}, error) : error;
  });
  return code ?? OWN_FAILURE;
}

function unreachable({ name, address }: Connection, said: string): StrataError {
  const reason = said.trim().split(/\r?\n/).slice(-LINES).join("\n");
  return failure("HOST_UNREACHABLE", { host: name, address: formatAddress(address), reason });
}

/** Lines of ssh that an error shows. */
const LINES = 5;
