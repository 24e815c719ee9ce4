import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import tar from "tar-stream";
import { failure, isStrataError } from "../errors.ts";
import { confined, type Entry, PERMISSIONS } from "./entry.ts";
import { type GuestEnd, guestError, ignored } from "./guest.ts";
import { SEND } from "./scripts.ts";

/** The entries at a path of a guest, checked so that they stay below their destination. */
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
