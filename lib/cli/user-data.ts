import { open } from "node:fs/promises";
import { failure } from "../errors.ts";
import type { Cli } from "./cli.ts";

/** What a guest gets at its start is no place for more, bytes. */
const LIMIT = 1024 * 1024;
/** For a text from a URL, ms. */
const DOWNLOAD_TIMEOUT_MS = 30_000;

/** Reads cloud-init user-data from a file, an http(s) URL, or standard input for `-`. */
export async function readUserData({ io, call }: Cli, from: string): Promise<string> {
  if (/^https?:\/\//i.test(from)) {
    if (!URL.canParse(from)) {
      throw invalid(from, "must be a valid URL");
    }
    const { fetchText } = await import("../util/http.ts");
    return fetchText(new URL(from), { limit: LIMIT, timeout: DOWNLOAD_TIMEOUT_MS, signal: call.signal });
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
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(read));
  } catch (error) {
    throw invalid(from, "must be text in UTF-8", error);
  }
}

function invalid(value: string, reason: string, cause?: unknown) {
  return failure("INVALID_VALUE", { what: "the cloud-init data", value, reason }, cause);
}
