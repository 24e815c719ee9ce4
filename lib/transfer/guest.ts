import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import tar from "tar-stream";
import type { ExecSession } from "../engine/contract.ts";
import { errnoOf, failure, isStrataError, type StrataError } from "../errors.ts";
import { confined, type Entry, PERMISSIONS } from "./entry.ts";
import { startRecipient, untilDestroyed } from "./recipient.ts";
import { RECEIVE, SEND, STATUS } from "./scripts.ts";

/** A guest as a transfer sees it: a name for errors, and commands that run as the default user. */
export interface GuestEnd {
  readonly name: string;
  run(argv: readonly string[], signal: AbortSignal): Promise<ExecSession>;
}

/** How a guest is to take what is sent. */
export interface Placement {
  readonly path: string;
  /** What it is called where `path` is a folder; "" for the folder itself. */
  readonly name: string;
  /** `path` has to be a folder. */
  readonly folder: boolean;
  /** Makes the folders that are missing. */
  readonly parents: boolean;
}

/** Bytes of a piece of a stream whose length is not known. */
const PIECE = 1024 * 1024;

/** What is at a path of a guest, checked: entries stay where they are put. */
export function readGuest(
  guest: GuestEnd,
  path: string,
  recursive: boolean,
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  return confined(guest.name, receive(guest, path, recursive, signal));
}

async function* receive(
  guest: GuestEnd,
  path: string,
  recursive: boolean,
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  const mine = new AbortController();
  const argv = ["sh", "-c", SEND, "sh", path, recursive ? "recursive" : ""];
  const session = await guest.run(argv, AbortSignal.any([signal, mine.signal]));
  session.stdin.end();
  const complaint = text(session.stderr).catch(() => "");
  const archive = tar.extract();
  archive.on("error", ignored);
  const arrived = pipeline(session.stdout, archive)
    .catch(() => {})
    // What nobody reads keeps the guest's end from closing.
    .then(() => void session.stdout.resume());
  /** Why the archive broke off, or `broken` where the guest has nothing to say about it. */
  const reason = async (broken?: unknown): Promise<unknown> => {
    await arrived;
    const { code } = await session.exit;
    const said = await complaint;
    if (code !== 0 && !(code === 1 && harmless(said))) {
      return guestError(guest, path, code, said);
    }
    return broken === undefined ? undefined : guestError(guest, path, null, String(broken));
  };
  let ended = false;
  try {
    let broken: unknown;
    let first = true;
    try {
      for await (const body of archive) {
        // An archive of one file is that file, whatever it is called.
        if (first && body.header.type !== "directory") {
          body.header.name = ".";
        }
        first = false;
        yield toEntry(guest, body.header, Readable.from(explained(body, reason), { objectMode: false }));
        body.resume();
      }
    } catch (error) {
      broken = error;
    }
    ended = true;
    if (isStrataError(broken)) {
      throw broken;
    }
    if (first) {
      broken ??= "nothing was received";
    }
    const why = await reason(broken);
    if (why !== undefined) {
      throw why;
    }
  } finally {
    if (!ended) {
      mine.abort();
    }
    archive.destroy();
  }
}

/** These streams tell their errors where they are awaited; once more to nobody would end the process. */
function ignored(): void {}

/** The same bytes; where they break off, the guest's reason rather than the stream's. */
async function* explained(
  body: AsyncIterable<Uint8Array>,
  reason: (broken: unknown) => Promise<unknown>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw await reason(error);
  }
}

/** GNU tar ends with 1 where files changed while it read them. */
function harmless(said: string): boolean {
  const lines = said.trim().split("\n");
  return lines.every((line) => /file changed as we read it|File removed before we read it/.test(line));
}

function toEntry(guest: GuestEnd, header: tar.Headers, body: Readable): Entry {
  const path = header.name.replace(/^\.\//, "").replace(/\/+$/, "");
  const common = {
    path: path === "." ? "" : path,
    mode: (header.mode ?? 0o600) & PERMISSIONS,
    modified: (header.mtime?.getTime() ?? Date.now()) / 1000,
  };
  switch (header.type) {
    case "directory":
      return { ...common, kind: "folder" };
    case "symlink":
      return { ...common, kind: "link", target: header.linkname ?? "" };
    case "file":
    case "contiguous-file":
      return { ...common, kind: "file", size: header.size ?? 0, body };
    default:
      throw failure("TRANSFER_FAILED", {
        path: `${guest.name}:${header.name}`,
        reason: header.type === "link" ? "it is a hard link" : "it is not a file, folder or link",
      });
  }
}

/** Sends entries to a guest. What is there afterwards is all of it or nothing, but for merged folders. */
export async function writeGuest(
  guest: GuestEnd,
  placement: Placement,
  entries: AsyncIterable<Entry>,
  signal: AbortSignal,
): Promise<void> {
  await send(guest, placement, "", signal, async (pack) => {
    for await (const entry of entries) {
      await add(pack, headerOf(entry), entry);
    }
    await add(pack, { name: "done" });
  });
}

/** Sends a stream of unknown length to a file of a guest. */
export async function writeGuestStream(
  guest: GuestEnd,
  placement: Placement,
  stream: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const token = randomUUID();
  await send(guest, placement, token, signal, async (pack) => {
    for await (const piece of pieces(stream)) {
      await add(pack, { name: "piece" }, piece);
    }
    await add(pack, { name: "piece" }, Buffer.from(token));
  });
}

async function* pieces(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let waiting: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    waiting.push(chunk);
    size += chunk.length;
    if (size < PIECE) {
      continue;
    }
    yield Buffer.concat(waiting);
    waiting = [];
    size = 0;
  }
  if (size > 0) {
    yield Buffer.concat(waiting);
  }
}

async function send(
  guest: GuestEnd,
  { path, name, folder, parents }: Placement,
  token: string,
  signal: AbortSignal,
  fill: (pack: tar.Pack) => Promise<void>,
): Promise<void> {
  const argv = [
    "sh",
    "-c",
    RECEIVE,
    "sh",
    path,
    name,
    folder ? "folder" : "",
    parents ? "parents" : "",
    token,
  ];
  using recipient = await startRecipient(guest, argv, signal);
  const { session, calledOff } = recipient;
  session.stdout.resume();
  const complaint = text(session.stderr).catch(() => "");
  const pack = tar.pack();
  pack.on("error", ignored);
  const leaving = pipeline(untilDestroyed(pack), session.stdin);
  leaving.catch(() => pack.destroy());
  const sent = fill(pack).then(() => {
    pack.finalize();
    return leaving;
  });
  // A guest that refuses ends before all is sent. Then nothing more is, and what is being read is let go.
  const refused = session.exit.finally(() => pack.destroy());
  const cause = await Promise.race([
    sent.catch((error: unknown) => error),
    refused.then(() => undefined),
    calledOff,
  ]);
  // What went wrong on our side ends the guest's; what the guest says goes before what that did to us.
  if (cause !== undefined && !isClosed(cause)) {
    refused.catch(() => {});
    await recipient.hangUp(pack);
    throw cause;
  }
  const { code } = await refused;
  if (code !== 0) {
    throw guestError(guest, path, code, await complaint);
  }
}

/** True for what a stream says whose other end is gone. */
function isClosed(error: unknown): boolean {
  if (!(error instanceof Error)) {
    return false;
  }
  const code = errnoOf(error);
  return code === "ERR_STREAM_PREMATURE_CLOSE" || code === "EPIPE" || error.message.includes("destroyed");
}

function headerOf(entry: Entry): tar.Headers {
  const common = {
    name: entry.path === "" ? "tree" : `tree/${entry.path}`,
    mode: entry.mode,
    mtime: new Date(entry.modified * 1000),
  };
  switch (entry.kind) {
    case "folder":
      return { ...common, type: "directory" };
    case "link":
      return { ...common, type: "symlink", linkname: entry.target };
    case "file":
      return { ...common, type: "file", size: entry.size };
  }
}

/** Resolves when the entry is in the archive. */
async function add(pack: tar.Pack, header: tar.Headers, content?: Entry | Buffer): Promise<void> {
  const body =
    content !== undefined && "kind" in content && content.kind === "file" ? content.body : undefined;
  await new Promise<void>((resolve, reject) => {
    const done = (error?: Error | null) => (error ? reject(error) : resolve());
    const buffered = content instanceof Uint8Array ? content : "";
    const sink = body === undefined ? pack.entry(header, buffered, done) : pack.entry(header, done);
    sink.on("error", ignored);
    if (body !== undefined) {
      pipeline(body, sink).catch(reject);
    }
  });
}

function guestError(guest: GuestEnd, path: string, code: number | null, said: string): StrataError {
  const named = `${guest.name}:${path}`;
  const reason = said.trim().split("\n").slice(0, 5).join("; ");
  const failed = (why: string) => failure("TRANSFER_FAILED", { path: named, reason: why });
  switch (code) {
    case STATUS.missing:
      return failure("FILE_NOT_FOUND", { path: named });
    case STATUS.unreadable:
      return failure("PERMISSION_DENIED", { reason: `${named} cannot be read by the guest's user` });
    case STATUS.folder:
      return failed("it is a folder; use --recursive");
    case STATUS.special:
      return failed("it is neither a file nor a folder");
    case STATUS.noFolder:
      return failed("the folder does not exist; --parents creates it");
    case STATUS.noParent:
      return failed("its parent folder does not exist; --parents creates it");
    case STATUS.clash:
      return failed(`something else with this name exists: ${reason}`);
    case STATUS.noTar:
      return failed("the guest has no tar");
    case STATUS.unwritable:
      return failure("PERMISSION_DENIED", { reason: `${named}: ${reason}` });
    default:
      return /No space left/i.test(said)
        ? failure("NO_SPACE", { where: named })
        : failed(reason || "the guest stopped before the transfer finished");
  }
}
