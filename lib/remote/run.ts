import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
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
  const { name, address, control } = connection;
  const mark = `strata-${randomUUID()}`;
  const options = { control, keep: false, ask: false, terminal: false };
  const args = sshArguments(address, options, farStrata(name, mark, words));
  // Ctrl-C is for the command there: ssh is in a group of its own, or it would end before it has passed on the rest.
  const child = start(args, [input ? "inherit" : "ignore", "inherit", "pipe"]);
  const endChild = () => void child.kill();
  process.once("exit", endChild);
  const announcement = new Announcement(mark);
  const interrupt = () => {
    announcement.group.then(
      (group) => interruptGroup(connection, group),
      () => endChild(),
    );
  };
  signal.addEventListener("abort", interrupt, { once: true });
  try {
    const passedOn =
      child.stderr === null ? undefined : announcement.passOn(child.stderr, stderr).catch(() => {});
    if (signal.aborted) {
      interrupt();
    }
    const code = await ended(child);
    await passedOn;
    return code;
  } finally {
    signal.removeEventListener("abort", interrupt);
    process.off("exit", endChild);
  }
}

function interruptGroup({ address, control }: Connection, group: number): void {
  const options = { control, keep: false, ask: false, terminal: false };
  start(sshArguments(address, options, farInterrupt(group)), ["ignore", "ignore", "ignore"]).once(
    "error",
    () => {},
  );
}

type Stream = "ignore" | "inherit" | "pipe";

/** Starts ssh; with a signal, that ends it. */
function start(args: readonly string[], stdio: [Stream, Stream, Stream], signal?: AbortSignal): ChildProcess {
  const options = signal === undefined ? { detached: true } : { signal };
  return traced("ssh", args, spawn("ssh", args, { stdio, ...options }));
}

/** Resolves to the exit status of ssh. */
async function ended(child: ChildProcess, signal?: AbortSignal): Promise<number> {
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
