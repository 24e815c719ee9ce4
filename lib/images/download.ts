import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rm, stat } from "node:fs/promises";
import type { Context } from "../backend/contract.ts";
import { asStrataError, failure } from "../errors.ts";

/** How often a download that was cut is taken up again without any progress in between. */
const RESUMES = 5;

/**
 * Downloads a URL into a new file and verifies its SHA-256. A connection that is cut is resumed where it
 * broke. On any failure the file is removed.
 */
export async function download(url: URL, path: string, sha256: string, context: Context): Promise<void> {
  try {
    await fetchAll(url, path, context);
    context.progress({ phase: "Verifying image" });
    const actual = await hashFile(path, context.signal);
    if (actual !== sha256) throw failure("CHECKSUM_MISMATCH", { image: url.href, actual, expected: sha256 });
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

async function fetchAll(url: URL, path: string, context: Context): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  let done = 0n;
  let validator: string | undefined;
  for (let attempt = 0; ; attempt++) {
    const before = done;
    try {
      const response = await request(url, done, validator, context.signal);
      if (response.status !== 206) {
        // The server starts over: it knows no ranges, or the file has changed.
        await file.truncate(0);
        done = 0n;
      }
      validator = response.headers.get("etag") ?? response.headers.get("last-modified") ?? undefined;
      const total = totalSize(response, done);
      for await (const chunk of response.body ?? []) {
        await file.write(chunk, 0, chunk.length, Number(done));
        done += BigInt(chunk.length);
        context.progress({ phase: "Downloading image", done, ...(total === undefined ? {} : { total }) });
      }
      if (total !== undefined && done < total) throw new Error(`it ended after ${done} of ${total} bytes`);
      return;
    } catch (error) {
      context.signal.throwIfAborted();
      const mapped = asStrataError(error);
      if (mapped.code !== "INTERNAL") throw error;
      if (done > before) attempt = 0;
      if (attempt >= RESUMES)
        throw failure("DOWNLOAD_FAILED", { url: url.href, reason: reasonOf(error) }, error);
    }
  }
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}

async function request(
  url: URL,
  from: bigint,
  validator: string | undefined,
  signal: AbortSignal,
): Promise<Response> {
  const headers = new Headers({ "accept-encoding": "identity" });
  if (from > 0n) {
    headers.set("range", `bytes=${from}-`);
    if (validator !== undefined) headers.set("if-range", validator);
  }
  const response = await fetch(url, { headers, signal, redirect: "follow" });
  if (response.ok) return response;
  await response.body?.cancel();
  const reason = `the server answered ${response.status} ${response.statusText}`.trim();
  // A server in trouble may recover; what it refuses it will refuse again.
  if (response.status >= 500) throw new Error(reason);
  throw failure("DOWNLOAD_FAILED", { url: url.href, reason });
}

function totalSize(response: Response, from: bigint): bigint | undefined {
  const length = response.headers.get("content-length");
  if (length === null || !/^\d+$/.test(length)) return undefined;
  return response.status === 206 ? from + BigInt(length) : BigInt(length);
}

/** SHA-256 of a file, in hex. */
export async function hashFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { signal, highWaterMark: 1024 * 1024 }))
    hash.update(chunk);
  return hash.digest("hex");
}

/** Size of a file, bytes. */
export async function fileSize(path: string): Promise<bigint> {
  return (await stat(path, { bigint: true })).size;
}
