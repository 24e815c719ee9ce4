import type { FileHandle } from "node:fs/promises";
import { run } from "../util/programs.ts";

/** A part of a file that has data; between two of them, and after the last, there is a hole. */
export interface Extent {
  /** Bytes from the beginning. */
  readonly offset: number;
  /** Bytes; 0 only for the mark of a hole at the end. */
  readonly length: number;
}

/** What holes are made of, bytes: that of the usual file systems. */
const BLOCK = 4096;
/** Bytes that are looked at together. */
const CHUNK = 1024 * 1024;
/** Bytes of a map that is taken from a guest at most. */
const LONGEST_MAP = 16 * 1024 * 1024;
/** A record of tar. */
const RECORD = 512;

const ZERO = Buffer.alloc(BLOCK);

/** A file of so many bytes is not searched for holes where the file system can be asked for them. */
const LARGE = 64 * 1024 * 1024;

/** Where a file has data. */
export async function findExtents(path: string, file: FileHandle, size: number): Promise<Extent[]> {
  return (size < LARGE ? undefined : await askExtents(path, size)) ?? searchExtents(file, size);
}

/** What of `qemu-img map` is read. Most transfers have no holes, and no need of zod. */
async function mappedShape() {
  const { z } = await import("zod");
  return z.array(z.object({ start: z.int().min(0), length: z.int().min(0), data: z.boolean() }));
}

/**
 * What the file system has as data. Node cannot ask it (lseek with SEEK_HOLE), qemu-img can; undefined where that is
 * not to be had.
 */
async function askExtents(path: string, size: number): Promise<Extent[] | undefined> {
  try {
    const map = await run("qemu-img", ["map", "--output=json", "-U", "--image-opts", fileOption(path)]);
    const data = (await mappedShape())
      .parse(JSON.parse(map))
      .filter((each) => each.data && each.start < size);
    // It counts whole sectors.
    return data.map(({ start, length }) => ({ offset: start, length: Math.min(length, size - start) }));
  } catch {
    return undefined;
  }
}

/** A raw file in qemu-img's own words, where a colon begins nothing and a comma is doubled. */
function fileOption(path: string): string {
  return `driver=raw,file.driver=file,file.filename=${path.replaceAll(",", ",,")}`;
}

/** The same by looking: every block that is not zeros. Holes are read as zeros, and cost no disk. */
async function searchExtents(file: FileHandle, size: number): Promise<Extent[]> {
  const extents: { offset: number; length: number }[] = [];
  const chunk = Buffer.alloc(CHUNK);
  for (let at = 0; at < size; ) {
    const { bytesRead } = await file.read(chunk, 0, Math.min(CHUNK, size - at), at);
    if (bytesRead === 0) {
      break;
    }
    for (let inner = 0; inner < bytesRead; inner += BLOCK) {
      const block = chunk.subarray(inner, Math.min(inner + BLOCK, bytesRead));
      if (block.equals(ZERO.subarray(0, block.length))) {
        continue;
      }
      const last = extents.at(-1);
      if (last !== undefined && last.offset + last.length === at + inner) {
        last.length += block.length;
      } else {
        extents.push({ offset: at + inner, length: block.length });
      }
    }
    at += bytesRead;
  }
  return extents;
}

/** The data of a file, one extent after the other. Rejects where the file has become shorter. */
export async function* readExtents(file: FileHandle, extents: readonly Extent[]): AsyncGenerator<Buffer> {
  for (const { offset, length } of extents) {
    for (let done = 0; done < length; ) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK, length - done));
      const { bytesRead } = await file.read(chunk, 0, chunk.length, offset + done);
      if (bytesRead === 0) {
        throw new Error("the file has become shorter while it was read");
      }
      done += bytesRead;
      yield chunk.subarray(0, bytesRead);
    }
  }
}

/** Bytes that all extents have. */
export function dataLength(extents: readonly Extent[]): number {
  return extents.reduce((sum, { length }) => sum + length, 0);
}

/** The bytes of a whole file, its holes as zeros. */
export async function* filled(
  data: AsyncIterable<Uint8Array>,
  extents: readonly Extent[],
  size: number,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const { offset, bytes } of placed(data, extents)) {
    yield* zeros(offset - at);
    yield bytes;
    at = offset + bytes.length;
  }
  yield* zeros(size - at);
}

function* zeros(length: number): Generator<Uint8Array> {
  const chunk = Buffer.alloc(Math.min(CHUNK, length));
  for (let left = length; left > 0; left -= CHUNK) {
    yield left < chunk.length ? chunk.subarray(0, left) : chunk;
  }
}

/** The data of a file with the place of each piece. */
export async function* placed(
  data: AsyncIterable<Uint8Array>,
  extents: readonly Extent[],
): AsyncGenerator<{ readonly offset: number; readonly bytes: Uint8Array }> {
  let which = 0;
  let inner = 0;
  for await (const chunk of data) {
    let rest = chunk;
    while (rest.length > 0) {
      const extent = extents[which];
      if (extent === undefined) {
        throw new Error("there are more data than its map has room for");
      }
      const bytes = rest.subarray(0, extent.length - inner);
      if (bytes.length > 0) {
        yield { offset: extent.offset + inner, bytes };
      }
      rest = rest.subarray(bytes.length);
      inner += bytes.length;
      if (inner === extent.length) {
        which += 1;
        inner = 0;
      }
    }
  }
}

/** The map of a sparse file as GNU tar's format 1.0 has it before the data; the end of the file is in it. */
export function encodeMap(extents: readonly Extent[], size: number): Buffer {
  const entries = [...extents, { offset: size, length: 0 }];
  const numbers = [entries.length, ...entries.flatMap(({ offset, length }) => [offset, length])];
  const text = Buffer.from(numbers.map((each) => `${each}\n`).join(""));
  return Buffer.concat([text, Buffer.alloc((RECORD - (text.length % RECORD)) % RECORD)]);
}

/** Headers that say that a file is preceded by such a map. */
export function sparseHeaders(name: string, size: number): Record<string, string> {
  return {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": name,
    "GNU.sparse.realsize": String(size),
  };
}

/**
 * Takes the map off the beginning of a body of `length` bytes; what is left of the body are its data. Rejects where
 * the map does not describe a file of `size` bytes with so many data.
 */
export async function takeMap(
  body: AsyncIterable<Uint8Array>,
  length: number,
  size: number,
): Promise<{ readonly extents: Extent[]; readonly data: AsyncGenerator<Uint8Array> }> {
  const pieces = body[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  for (;;) {
    const numbers = readNumbers(head);
    if (numbers !== undefined) {
      const { extents, used } = numbers;
      if (!fits(extents, size) || used + dataLength(extents) !== length) {
        throw new Error("its map of holes makes no sense");
      }
      return { extents, data: resume(head.subarray(used), pieces) };
    }
    const next = await pieces.next();
    if (next.done === true || head.length > LONGEST_MAP) {
      throw new Error("its map of holes has no end");
    }
    head = Buffer.concat([head, next.value]);
  }
}

/** Reads a map as far as it is there; undefined where some of it is missing. */
function readNumbers(head: Buffer): { readonly extents: Extent[]; readonly used: number } | undefined {
  let at = 0;
  const next = (): number | undefined => {
    const end = head.indexOf("\n", at);
    if (end === -1) {
      return undefined;
    }
    const text = head.toString("latin1", at, end);
    at = end + 1;
    return /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  };
  const count = next();
  if (count === undefined) {
    return undefined;
  }
  const extents: Extent[] = [];
  for (let each = 0; each < count; each++) {
    const [offset, length] = [next(), next()];
    if (offset === undefined || length === undefined) {
      return undefined;
    }
    extents.push({ offset, length });
  }
  const used = Math.ceil(at / RECORD) * RECORD;
  return used > head.length ? undefined : { extents, used };
}

/** True where extents follow each other within a file of that size. */
function fits(extents: readonly Extent[], size: number): boolean {
  let end = 0;
  for (const { offset, length } of extents) {
    if (!(offset >= end && length >= 0 && offset + length <= size)) {
      return false;
    }
    end = offset + length;
  }
  return Number.isSafeInteger(size) && size >= 0;
}

async function* resume(first: Buffer, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (first.length > 0) {
      yield first;
    }
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) {
      yield next.value;
    }
  } finally {
    await rest.return?.();
  }
}
