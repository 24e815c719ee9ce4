import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { failure, type StrataError } from "../errors.ts";
import { type Connection, ended, openScript } from "./run.ts";
import { farScript } from "./script.ts";

/** A file on its way to another host. */
export interface Cargo {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  open(): Readable;
}

/** Files on another host, until they are disposed of or this process ends. */
export interface Luggage extends AsyncDisposable {
  /** Where they are there, in the order of the files. */
  readonly paths: readonly string[];
}

/** A regular file of this host; rejects with FILE_NOT_FOUND. */
export async function cargoOf(path: string): Promise<Cargo> {
  const found = await stat(path).catch((error: unknown) => {
    throw failure("FILE_NOT_FOUND", { path }, error);
  });
  if (!found.isFile()) {
    throw failure("TRANSFER_FAILED", { path, reason: "it is not a file" });
  }
  const { size } = found;
  const open = () => (size === 0 ? Readable.from([]) : createReadStream(path, { end: size - 1 }));
  return { name: basename(path), size, open };
}

export function cargoOfText(name: string, contents: string): Cargo {
  const bytes = Buffer.from(contents);
  return { name, size: bytes.length, open: () => Readable.from([bytes], { objectMode: false }) };
}

/**
 * Keeps files in a folder of its own, and removes it at the end of its input: when this end is done, killed, or cut
 * off. The lock tells the next one that this one is dead, if it was killed itself. Arguments: NAME SIZE of each file.
 */
const KEEP = `umask 077
base=\${XDG_CACHE_HOME:-$HOME/.cache}/strata/travel
mkdir -p "$base" && exec 8>"$base/lock" && flock 8 || exit 1
for each in "$base"/*/; do
  [ ! -d "$each" ] || flock -n "\${each}lock" rm -rf "$each"
done
mine=$(mktemp -d "$base/XXXXXXXXXX") && exec 9>"$mine/lock" && flock 9 || exit 1
trap 'rm -rf "$mine"' EXIT
trap 'exit 1' HUP INT TERM
exec 8>&-
printf "%s\\n" "$mine"
number=0
while [ $# -gt 0 ]; do
  number=$((number + 1))
  mkdir "$mine/$number" && head -c "$2" >"$mine/$number/$1" || exit 1
  [ "$(wc -c <"$mine/$number/$1")" -eq "$2" ] || exit 1
  shift 2
done
echo ready
cat >/dev/null`;

/** Takes files to another host. They are there, complete, when this resolves. */
export async function takeAlong(
  connection: Connection,
  cargo: readonly Cargo[],
  o: { readonly signal: AbortSignal; progress(done: bigint, total: bigint): void },
): Promise<Luggage> {
  o.signal.throwIfAborted();
  const words = cargo.flatMap(({ name, size }) => [name, String(size)]);
  const child = openScript(connection, farScript(KEEP, ...words));
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) {
    throw failure("INTERNAL", { reason: "ssh was started without pipes" });
  }
  const complaint = text(stderr).catch(() => "");
  const exit = ended(child);
  exit.catch(() => {});
  const release = async () => {
    stdin.destroy();
    await exit;
  };
  const total = cargo.reduce((sum, { size }) => sum + BigInt(size), 0n);
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  const sent = (async () => {
    const folder = (await lines.next()).value ?? "";
    await pipeline(bytesOf(cargo, total, o.progress), stdin, { end: false, signal: o.signal });
    return (await lines.next()).value === "ready" ? folder : undefined;
  })();
  try {
    const folder = await sent;
    if (folder === undefined) {
      throw refused(connection, await complaint);
    }
    stdin.on("error", () => {});
    return {
      paths: cargo.map(({ name }, at) => `${folder}/${at + 1}/${name}`),
      [Symbol.asyncDispose]: release,
    };
  } catch (error) {
    await release();
    throw o.signal.aborted ? failure("CANCELLED", {}, error) : await reasonFor(connection, error, complaint);
  }
}

async function reasonFor(
  connection: Connection,
  error: unknown,
  complaint: Promise<string>,
): Promise<unknown> {
  const isClosed = error instanceof Error && "code" in error && error.code === "EPIPE";
  return isClosed ? refused(connection, await complaint) : error;
}

function refused({ name }: Connection, said: string): StrataError {
  const reason = said.trim().split("\n").slice(0, 5).join("; ");
  return /No space left|quota exceeded/i.test(said)
    ? failure("NO_SPACE", { where: name })
    : failure("TRANSFER_FAILED", { path: name, reason: reason || "it did not take all that was sent" });
}

async function* bytesOf(
  cargo: readonly Cargo[],
  total: bigint,
  progress: (done: bigint, total: bigint) => void,
): AsyncGenerator<Uint8Array> {
  let done = 0n;
  for (const { name, size, open } of cargo) {
    let sent = 0;
    for await (const chunk of open() as AsyncIterable<Uint8Array>) {
      sent += chunk.length;
      done += BigInt(chunk.length);
      progress(done, total);
      yield chunk;
    }
    if (sent !== size) {
      throw failure("TRANSFER_FAILED", { path: name, reason: "it became shorter while it was read" });
    }
  }
}
