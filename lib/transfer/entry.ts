import type { Readable } from "node:stream";
import { failure } from "../errors.ts";
import { dataLength, type Extent, filled } from "./sparse.ts";

/**
 * An entry of a transfer between a host and a guest. `path` is relative to what is transferred, with "/"
 * between its parts; "" is the transferred file or folder itself and comes first. A folder comes before its
 * contents.
 */
export type Entry = FileEntry | FolderEntry | LinkEntry;

interface Common {
  readonly path: string;
  /** Permission bits, without setuid and setgid, which are never copied. */
  readonly mode: number;
  /** Seconds since the epoch. */
  readonly modified: number;
}

export interface FileEntry extends Common {
  readonly kind: "file";
  /** Bytes, holes included. */
  readonly size: number;
  /** The parts with data of a file with holes; the body then contains only this data. */
  readonly extents?: readonly Extent[];
  /** Must be read to its end before the next entry is requested. */
  readonly body: Readable;
}

/** Length of the body of a file in bytes. */
export function bodyLength({ size, extents }: FileEntry): number {
  return extents === undefined ? size : dataLength(extents);
}

/** The contents of a file, with zeros for holes. */
export function wholeBody({ body, size, extents }: FileEntry): AsyncIterable<Uint8Array> {
  return extents === undefined ? body : filled(body, extents, size);
}

export interface FolderEntry extends Common {
  readonly kind: "folder";
}

export interface LinkEntry extends Common {
  readonly kind: "link";
  /** The target as written in the symbolic link, which is copied and never followed. */
  readonly target: string;
}

export const PERMISSIONS = 0o777;

/**
 * Passes on entries of a guest only if they stay below the place they are written to, whatever the guest
 * sends: no "..", no absolute path, nothing below a link or a file, nothing twice. Rejects with
 * TRANSFER_UNSAFE. The writers rely on this.
 */
export async function* confined(name: string, entries: AsyncIterable<Entry>): AsyncGenerator<Entry> {
  const folders = new Set<string>();
  const others = new Set<string>();
  for await (const entry of entries) {
    const { path, kind } = entry;
    const first = folders.size === 0 && others.size === 0;
    const parts = path.split("/");
    const parent = parts.slice(0, -1).join("/");
    const proper = parts.every(
      (part) => part !== "" && part !== "." && part !== ".." && !part.includes("\0"),
    );
    const safe =
      path === ""
        ? (first && kind !== "link") || (kind === "folder" && folders.has(""))
        : proper && folders.has(parent) && !others.has(path) && (kind === "folder" || !folders.has(path));
    if (!safe) {
      throw failure("TRANSFER_UNSAFE", { name, path: path || "." });
    }
    (kind === "folder" ? folders : others).add(path);
    yield entry;
  }
}
