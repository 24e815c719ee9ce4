import { createConnection, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import ssh2 from "ssh2";
import type { ExecOptions, ExecSession, SshEndpoint } from "../engine/contract.ts";
import { failure, isStrataError, reasonOf, type StrataError } from "../errors.ts";
import { commandLine } from "./command-line.ts";

/** A login in a guest. Dispose of it to disconnect. */
export interface Guest extends AsyncDisposable {
  /** Runs argv, or the login shell when it is empty. */
  exec(argv: readonly string[], options?: ExecOptions): Promise<ExecSession>;
  /** Connects to a port that the guest reaches. */
  dial(host: string, port: number): Promise<Duplex>;
  /** Resolves when the connection has ended. */
  readonly ended: Promise<void>;
}

export interface Login {
  /** Name of the instance, for errors. */
  readonly name: string;
  readonly username: string;
  readonly privateKey: string;
  /** The pinned host key, `type base64`; without one, the first key that is seen is passed to `onHostKey`. */
  readonly hostKey?: string;
  readonly onHostKey?: (key: string) => Promise<void>;
}

export interface GuestOptions extends Login {
  readonly endpoint: SshEndpoint;
  /** Time-out of the login, ms; 20 s by default. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

/**
 * ChaCha20 first, as in OpenSSH: a guest's processor may have no AES instructions, and an emulated one has
 * them without their speed.
 */
const CIPHERS: ssh2.CipherAlgorithm[] = [
  "chacha20-poly1305@openssh.com",
  "aes128-gcm@openssh.com",
  "aes256-gcm@openssh.com",
  "aes128-ctr",
  "aes256-ctr",
];

const KEEPALIVE = { keepaliveInterval: 10_000, keepaliveCountMax: 6 };

/**
 * Logs in over ssh. Rejects with GUEST_UNREACHABLE, GUEST_REFUSED or HOST_KEY_CHANGED; in the last case
 * nothing but the greeting was sent.
 */
export async function openGuest(options: GuestOptions): Promise<Guest> {
  const { signal } = options;
  signal?.throwIfAborted();
  const client = new ssh2.Client();
  const { host, port } = options.endpoint;
  // Small messages go back and forth; collecting them before sending (Nagle) would cost 40 ms each.
  const socket = createConnection({ host, port, noDelay: true });
  let refusal: StrataError | undefined;
  /** Keys are exchanged repeatedly; the host key must stay the same. */
  let known = options.hostKey;
  // If the attempt has ended before the verdict, ssh2 must not get one; it would throw.
  let over = false;
  const pin = async (seen: string, done: (ok: boolean) => void): Promise<void> => {
    try {
      await options.onHostKey?.(seen);
      known = seen;
    } catch (error) {
      refusal = isStrataError(error) ? error : failure("INTERNAL", { reason: String(error) }, error);
    }
    if (!over) {
      done(refusal === undefined);
    }
  };
  /**
   * The verdict, or undefined if `done` is called with it later. That is for the first exchange only: while
   * ssh2 waits for a later verdict, it encrypts outgoing data wrongly.
   */
  const judge = (key: Buffer, done: (ok: boolean) => void): boolean | undefined => {
    const seen = describeKey(key);
    if (known === undefined) {
      void pin(seen, done);
      return undefined;
    }
    if (seen !== known) {
      refusal = failure("HOST_KEY_CHANGED", { name: options.name });
    }
    return seen === known;
  };
  const abort = () => socket.destroy();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      client.once("ready", resolve);
      client.on("error", reject);
      client.once("close", () => reject(new Error("the connection was closed")));
      client.connect({
        sock: socket,
        username: options.username,
        privateKey: options.privateKey,
        algorithms: { cipher: CIPHERS },
        readyTimeout: options.timeout ?? 20_000,
        hostVerifier: judge,
        ...KEEPALIVE,
      });
    });
  } catch (error) {
    over = true;
    socket.destroy();
    if (signal?.aborted) {
      throw failure("CANCELLED", {}, signal.reason);
    }
    throw refusal ?? loginError(options, error);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
  // From here on, a broken connection is reported by the streams of its commands.
  client.on("error", () => {});
  return {
    ended: closeOf(socket),
    dial: (to, at) =>
      new Promise((resolve, reject) => {
        client.forwardOut("127.0.0.1", 0, to, at, (error, channel) =>
          error ? reject(error) : resolve(channel),
        );
      }),
    exec: (argv, execOptions = {}) => exec(client, options.name, argv, execOptions),
    [Symbol.asyncDispose]: () => hangUp(client, socket),
  };
}

/** Resolves when a connection has ended: a guest that goes down may reset it, which is an end like any other. */
function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

/** Time-out for the guest to disconnect, ms. */
const HANGUP_TIMEOUT_MS = 1000;

/**
 * Ends the connection. A guest whose power was cut never answers, and the half-open connection would keep
 * this process alive.
 */
async function hangUp(client: ssh2.Client, socket: Socket): Promise<void> {
  if (socket.closed) {
    return;
  }
  const closed = closeOf(socket);
  client.end();
  const timer = setTimeout(() => socket.destroy(), HANGUP_TIMEOUT_MS);
  await closed;
  clearTimeout(timer);
}

/** A host key as `type base64`, the form of known_hosts. */
function describeKey(key: Buffer): string {
  const length = key.readUInt32BE(0);
  return `${key.subarray(4, 4 + length).toString("ascii")} ${key.toString("base64")}`;
}

function loginError({ name, username }: GuestOptions, error: unknown): StrataError {
  const reason = reasonOf(error) || String(error);
  const level = error instanceof Error && "level" in error ? error.level : undefined;
  return level === "client-authentication"
    ? failure("GUEST_REFUSED", { name, username, reason: "it does not accept strata's key" }, error)
    : failure("GUEST_UNREACHABLE", { name, reason }, error);
}

/**
 * Longest argument that Linux accepts, bytes: an sshd passes the command line on as one argument with a
 * terminating zero.
 */
const LONGEST_ARGUMENT = 128 * 1024;
/** Longest command line that Dropbear accepts, bytes. */
const DROPBEAR_COMMAND = 9000;

async function exec(
  client: ssh2.Client,
  name: string,
  argv: readonly string[],
  options: ExecOptions,
): Promise<ExecSession> {
  const { tty, signal } = options;
  signal?.throwIfAborted();
  const pty = tty === undefined ? {} : { pty: { term: tty.term, cols: tty.columns, rows: tty.rows } };
  const command = commandLine(argv, options);
  const length = Buffer.byteLength(command);
  if (length >= LONGEST_ARGUMENT) {
    throw failure("COMMAND_TOO_LONG", { name, length, reason: "Linux takes at most 128 KiB for it" });
  }
  return new Promise((resolve, reject) => {
    const refusal = (error: Error) =>
      length > DROPBEAR_COMMAND
        ? failure("COMMAND_TOO_LONG", { name, length, reason: "its ssh server refused it" }, error)
        : failure("GUEST_UNREACHABLE", { name, reason: error.message }, error);
    // Synchronously: the end of a quick command can arrive together with the answer, and its event is not
    // repeated.
    const answer = (error: Error | undefined, channel: ssh2.ClientChannel) =>
      error
        ? reject(refusal(error))
        : resolve(sessionOf(client, channel, name, { signal, ends: tty === undefined ? "TERM" : "HUP" }));
    if (argv.length === 0 && tty !== undefined && options.cwd === undefined && options.user === undefined) {
      client.shell({ term: tty.term, cols: tty.columns, rows: tty.rows }, answer);
    } else {
      client.exec(command, pty, answer);
    }
  });
}

/**
 * How long a command may take to end after it was signalled, ms. Then it is killed, without waiting for its
 * exit.
 */
const STOP_TIMEOUT_MS = 2000;

/** Sends a signal to the process group of a command. */
function signalTo(client: ssh2.Client, channel: ssh2.ClientChannel, signal: "TERM" | "HUP" | "KILL"): void {
  // The channel's own method does nothing once its standard input has ended, although the protocol allows
  // signals then.
  const { protocol, number } = below(client, channel);
  if (protocol !== undefined && number !== undefined) {
    protocol.signal(number, signal);
  } else {
    channel.signal(signal);
  }
}

/** ssh2's internal protocol and channel number, if this version has them in these places. */
function below(client: object, channel: object) {
  const protocol = "_protocol" in client ? client._protocol : undefined;
  const outgoing = "outgoing" in channel ? channel.outgoing : undefined;
  return {
    protocol: canSignal(protocol) ? protocol : undefined,
    number:
      typeof outgoing === "object" && outgoing !== null && "id" in outgoing && typeof outgoing.id === "number"
        ? outgoing.id
        : undefined,
  };
}

interface Signalling {
  signal(channel: number, name: string): void;
}

function canSignal(value: unknown): value is Signalling {
  return (
    typeof value === "object" && value !== null && "signal" in value && typeof value.signal === "function"
  );
}

function sessionOf(
  client: ssh2.Client,
  channel: ssh2.ClientChannel,
  name: string,
  o: { readonly signal: AbortSignal | undefined; readonly ends: "TERM" | "HUP" },
): ExecSession {
  const { signal } = o;
  let kill = () => {};
  const exit = new Promise<{ code: number | null; signal?: string }>((resolve, reject) => {
    let ended: { code: number | null; signal?: string } | undefined;
    let patience: NodeJS.Timeout | undefined;
    let closed = false;
    // The channel closes by itself once all of its output is read, but a caller that cancels does not wait
    // for that.
    const cancelled = () => {
      clearTimeout(patience);
      channel.close();
      reject(failure("CANCELLED", {}, signal?.reason));
    };
    // It must not be closed earlier: a closed channel accepts no second signal.
    kill = () => {
      if (closed || ended !== undefined) {
        return cancelled();
      }
      patience = setTimeout(() => {
        signalTo(client, channel, "KILL");
        cancelled();
      }, STOP_TIMEOUT_MS);
      signalTo(client, channel, o.ends);
    };
    channel.once("exit", (code: number | null, killedBy?: string) => {
      ended = { code, ...(killedBy === undefined ? {} : { signal: killedBy.replace(/^SIG/, "") }) };
      if (signal?.aborted) {
        cancelled();
      }
    });
    channel.once("close", () => {
      closed = true;
      clearTimeout(patience);
      signal?.removeEventListener("abort", kill);
      if (signal?.aborted) {
        cancelled();
      } else if (ended === undefined) {
        reject(failure("GUEST_UNREACHABLE", { name, reason: "the connection ended while the command ran" }));
      } else {
        resolve(ended);
      }
    });
  });
  // A caller that only reads the output must not get an unhandled rejection.
  exit.catch(() => {});
  if (signal?.aborted) {
    kill();
  } else {
    signal?.addEventListener("abort", kill, { once: true });
  }
  return {
    stdin: channel.stdin,
    stdout: channel,
    stderr: channel.stderr,
    resize: (columns, rows) => channel.setWindow(rows, columns, 0, 0),
    exit,
  };
}
