import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import tar from "tar-stream";
import { errnoOf } from "../errors.ts";
import { type Entry, type FileEntry, wholeBody } from "./entry.ts";
import { type GuestEnd, guestError, ignored } from "./guest.ts";
import { startRecipient, untilDestroyed } from "./recipient.ts";
import { HOLES, RECEIVE } from "./scripts.ts";
import { dataLength, type Extent, encodeMap, sparseHeaders } from "./sparse.ts";

/** Where and how a guest stores what is sent. */
export interface Placement {
  readonly path: string;
  /** Its name if `path` is a folder; "" for the folder itself. */
  readonly name: string;
  /** Whether `path` must be a folder. */
  readonly folder: boolean;
  /** Whether missing folders are created. */
  readonly parents: boolean;
}

/** Size of the pieces of a stream of unknown length, bytes. */
const PIECE = 1024 * 1024;

/** Sends entries to a guest. Afterwards all of them are there or none, except in merged folders. */
export async function writeGuest(
  guest: GuestEnd,
  placement: Placement,
  entries: AsyncIterable<Entry>,
  signal: AbortSignal,
): Promise<void> {
  await send(guest, placement, "", signal, async (pack, knowsHoles) => {
    for await (const entry of entries) {
      if (entry.kind !== "file" || entry.extents === undefined) {
        await add(pack, headerOf(entry), entry);
      } else if (await knowsHoles()) {
        await addSparse(pack, entry, entry.extents);
      } else {
        const { extents: _, ...whole } = entry;
        const body = Readable.from(wholeBody(entry), { objectMode: false });
        await add(pack, headerOf(entry), { ...whole, body });
      }
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
  fill: (pack: tar.Pack, knowsHoles: () => Promise<boolean>) => Promise<void>,
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
  const kind = firstLine(session.stdout);
  const complaint = text(session.stderr).catch(() => "");
  const pack = tar.pack();
  pack.on("error", ignored);
  const leaving = pipeline(untilDestroyed(pack), session.stdin);
  leaving.catch(() => pack.destroy());
  const sent = fill(pack, async () => (await kind) === HOLES).then(() => {
    pack.finalize();
    return leaving;
  });
  // A guest that refuses ends before everything is sent. Then sending stops, and the source is released.
  const refused = session.exit.finally(() => pack.destroy());
  const cause = await Promise.race([
    sent.catch((error: unknown) => error),
    refused.then(() => undefined),
    calledOff,
  ]);
  // A failure on our side ends the guest's command; a reason from the guest has precedence over what it
  // caused on our side.
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

/** Longest first line that is read, in characters. */
const LONGEST_LINE = 100;

/** The first line of a stream, or "" if the stream ends before; the rest is discarded. */
function firstLine(stream: NodeJS.ReadableStream): Promise<string> {
  let said = "";
  return new Promise((resolve) => {
    stream.on("data", (chunk: Uint8Array) => {
      if (!said.includes("\n") && said.length < LONGEST_LINE) {
        said += Buffer.from(chunk).toString("latin1");
      }
      if (said.includes("\n")) {
        resolve(said.slice(0, said.indexOf("\n")));
      }
    });
    for (const end of ["end", "close", "error"]) {
      stream.once(end, () => resolve(""));
    }
  });
}

/** True for the error of a stream whose other end has closed. */
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

/** Adds a file with holes: a map of its data, then the data. */
async function addSparse(pack: tar.Pack, entry: FileEntry, extents: readonly Extent[]): Promise<void> {
  const map = encodeMap(extents, entry.size);
  const header = headerOf(entry);
  const size = map.length + dataLength(extents);
  const pax = sparseHeaders(header.name, entry.size);
  async function* body() {
    yield map;
    yield* entry.body;
  }
  const { extents: _, ...plain } = entry;
  const stream = Readable.from(body(), { objectMode: false });
  await add(pack, Object.assign(header, { size, pax }), { ...plain, body: stream });
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
