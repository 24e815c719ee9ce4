import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { finished, pipeline } from "node:stream/promises";
import tar from "tar-stream";
import { failure, isStrataError, reasonOf } from "../errors.ts";
import { confined, type Entry, type FileEntry, PERMISSIONS } from "./entry.ts";
import { type GuestEnd, guestError, ignored } from "./guest.ts";
import { SEND } from "./scripts.ts";
import { takeMap } from "./sparse.ts";

/** The entries at a path of a guest, checked so that they stay below their destination. */
export function readGuest(
  guest: GuestEnd,
  path: string,
  recursive: boolean,
  signal: AbortSignal,
  skipped: (path: string) => void,
): AsyncGenerator<Entry> {
  return confined(guest.name, readable(receive(guest, path, recursive, signal), skipped));
}

/** What stands for bytes that are no UTF-8. */
const REPLACEMENT = "\uFFFD";

/** The entries whose names are texts; the outermost of the others are told. */
async function* readable(
  entries: AsyncIterable<Entry>,
  skipped: (path: string) => void,
): AsyncGenerator<Entry> {
  for await (const entry of entries) {
    const parts = entry.path.split("/");
    const target = entry.kind === "link" ? entry.target : "";
    if (!entry.path.includes(REPLACEMENT) && !target.includes(REPLACEMENT)) {
      yield entry;
      continue;
    }
    if (!parts.slice(0, -1).join().includes(REPLACEMENT)) {
      skipped(entry.path);
    }
    if (entry.kind === "file") {
      entry.body.resume();
      await finished(entry.body);
    }
  }
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
    // Unread output would keep the guest's end from closing.
    .then(() => void session.stdout.resume());
  /** Why the archive ended early: the guest's reason, or `broken` if it gives none. */
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
        // In an archive of one file, its name does not matter.
        const { header } = body;
        const name = first && header.type !== "directory" ? "." : nameOf(header);
        first = false;
        yield await toEntry(guest, name, header, explained(body, reason));
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

/** The same bytes; if they end early, with the guest's reason instead of the stream's. */
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

/** GNU tar exits with 1 if files changed while it read them. */
function harmless(said: string): boolean {
  const lines = said.trim().split("\n");
  return lines.every((line) => /file changed as we read it|File removed before we read it/.test(line));
}

/** The extended headers of an entry, which the types of tar-stream do not have. */
function paxOf(header: object): ReadonlyMap<string, unknown> {
  const pax = "pax" in header ? header.pax : undefined;
  return new Map(typeof pax === "object" && pax !== null ? Object.entries(pax) : []);
}

/** What an entry is called; GNU tar gives a sparse file another name for those who do not know such files. */
function nameOf(header: tar.Headers): string {
  const name = paxOf(header).get("GNU.sparse.name");
  return typeof name === "string" ? name : header.name;
}

/** A file's size and body, its holes told apart where the guest's tar has done so. */
async function contentsOf(
  guest: GuestEnd,
  header: tar.Headers,
  body: AsyncGenerator<Uint8Array>,
): Promise<Pick<FileEntry, "size" | "extents" | "body">> {
  const { name, size = 0 } = header;
  const pax = paxOf(header);
  if (!pax.has("GNU.sparse.major")) {
    return { size, body: Readable.from(body, { objectMode: false }) };
  }
  const whole = Number(pax.get("GNU.sparse.realsize"));
  try {
    const { extents, data } = await takeMap(body, size, whole);
    return { size: whole, extents, body: Readable.from(data, { objectMode: false }) };
  } catch (error) {
    if (isStrataError(error)) {
      throw error;
    }
    throw failure("TRANSFER_FAILED", { path: `${guest.name}:${name}`, reason: reasonOf(error) }, error);
  }
}

async function toEntry(
  guest: GuestEnd,
  name: string,
  header: tar.Headers,
  body: AsyncGenerator<Uint8Array>,
): Promise<Entry> {
  const path = name.replace(/^\.\//, "").replace(/\/+$/, "");
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
      return { ...common, kind: "file", ...(await contentsOf(guest, header, body)) };
    default:
      throw failure("TRANSFER_FAILED", {
        path: `${guest.name}:${header.name}`,
        reason: header.type === "link" ? "it is a hard link" : "it is not a file, folder or link",
      });
  }
}
