import { open } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { failure } from "../errors.ts";
import type { Cli } from "./cli.ts";

/** User-data is not meant for more, bytes. */
const LIMIT = 1024 * 1024;
const GZIP = Buffer.from([0x1f, 0x8b]);
/** Largest size after decompression, bytes. */
const UNPACKED = 10 * LIMIT;
/** Time-out of a download, ms. */
const DOWNLOAD_TIMEOUT_MS = 30_000;

/**
 * Reads cloud-init user-data from a file, an http(s) URL, or standard input for `-`. Data in gzip is
 * decompressed, as cloud-init does first, and a byte order mark is removed, because cloud-init would not
 * recognise the kind.
 */
export async function readUserData({ io, call }: Cli, from: string): Promise<string> {
  if (/^https?:\/\//i.test(from)) {
    if (!URL.canParse(from)) {
      throw invalid(from, "must be a valid URL");
    }
    const { fetchBytes, publicName } = await import("../util/http.ts");
    const url = new URL(from);
    const bytes = await fetchBytes(url, {
      limit: LIMIT,
      timeout: DOWNLOAD_TIMEOUT_MS,
      signal: call.signal,
    });
    return decode(bytes, publicName(url));
  }
  if (from === "-") {
    return readText(io.stdin as AsyncIterable<Buffer | string>, from);
  }
  await using file = await open(from, "r").catch((error: unknown) => {
    throw failure("FILE_NOT_FOUND", { path: from }, error);
  });
  try {
    // Awaited here: the file is closed when this function ends.
    return await readText(file.createReadStream({ end: LIMIT, autoClose: false }), from);
  } catch (error) {
    throw error instanceof Error && "syscall" in error
      ? failure("FILE_NOT_FOUND", { path: from }, error)
      : error;
  }
}

async function readText(pieces: AsyncIterable<Buffer | string>, from: string): Promise<string> {
  const read: Buffer[] = [];
  let length = 0;
  for await (const piece of pieces) {
    read.push(Buffer.from(piece));
    length += piece.length;
    if (length > LIMIT) {
      throw invalid(from, `must be at most ${LIMIT} bytes`);
    }
  }
  return decode(Buffer.concat(read), from);
}

function decode(bytes: Buffer, from: string): string {
  const text = bytes.subarray(0, GZIP.length).equals(GZIP) ? unpack(bytes, from) : bytes;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(text);
  } catch (error) {
    throw invalid(from, "must be text in UTF-8", error);
  }
}

function unpack(bytes: Buffer, from: string): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: UNPACKED });
  } catch (error) {
    throw invalid(from, `must be whole, and at most ${UNPACKED} bytes unpacked`, error);
  }
}

function invalid(value: string, reason: string, cause?: unknown) {
  return failure("INVALID_VALUE", { what: "the cloud-init data", value, reason }, cause);
}
