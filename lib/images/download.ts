import { type FileHandle, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "../engine/contract.ts";
import { failure, isStrataError } from "../errors.ts";
import { requireSpace } from "../util/free-space.ts";
import { innermostReason, publicName, withoutLogin } from "../util/http.ts";
import { createFile, ownFailure } from "../util/own-files.ts";

/** How often a download is resumed without real progress in between. */
const RESUMES = 5;
/** What counts as real progress, bytes: a download from a server that sends one byte at a time also ends. */
const PROGRESS = 1024n * 1024n;
/** How long a connection may be silent before it counts as broken, ms. */
const STALL = 60_000;

export interface DownloadOptions {
  /** Waits before the next attempt; `attempt` counts the attempts in a row without progress, from 1. */
  readonly pause?: (attempt: number, signal: AbortSignal) => Promise<void>;
  /** How long a connection may be silent before it counts as broken, ms; 60 s by default. */
  readonly stall?: number;
}

/** What is known about a file before the download. */
export interface Expected {
  /** Name of the image, for errors. */
  readonly image: string;
  /** Bytes. */
  readonly size: bigint;
}

/**
 * The first attempt to resume follows at once, since most interruptions are momentary; then after 0.5, 1, 2,
 * 4 s.
 */
async function pauseByDefault(attempt: number, signal: AbortSignal): Promise<void> {
  if (attempt > 1) {
    await delay(250 * 2 ** (attempt - 1), undefined, { signal });
  }
}

/**
 * Downloads a URL into a new file, mode 0600. If the connection breaks, the download is resumed there if the
 * file on the server is still the same. Rejects with DOWNLOAD_FAILED, NO_SPACE or CANCELLED, and with
 * SIZE_MISMATCH as soon as the expected size is impossible; the file is then removed. The contents are not
 * verified.
 */
export async function download(
  url: URL,
  path: string,
  context: Context,
  { pause = pauseByDefault, stall = STALL }: DownloadOptions = {},
  expected?: Expected,
): Promise<void> {
  try {
    await using file = await createFile(path);
    await fetchAll({ url, path, file, context, pause, stall, expected });
  } catch (error) {
    await rm(path, { force: true });
    if (context.signal.aborted) {
      throw failure("CANCELLED", {}, error);
    }
    throw isStrataError(error) ? error : ownFailure(error, path);
  }
}

/** One download, whatever the number of its requests. */
interface Job extends Required<DownloadOptions> {
  readonly url: URL;
  readonly path: string;
  readonly file: FileHandle;
  readonly context: Context;
  readonly expected: Expected | undefined;
}

/** How far a download has come. */
interface Position {
  done: bigint;
  total: bigint | undefined;
  /** The server's identifier of this version of the content. */
  validator: string | undefined;
}

async function fetchAll(job: Job): Promise<void> {
  const { url, file, context, pause } = job;
  const position: Position = { done: 0n, total: undefined, validator: undefined };
  for (let attempt = 1; ; attempt++) {
    const before = position.done;
    const cut = await fetchRest(job, position);
    // A response that started over may be shorter than what was there before.
    if (cut === null) {
      return file.truncate(Number(position.done));
    }
    if (position.done - before >= PROGRESS) {
      attempt = 1;
    }
    if (attempt > RESUMES) {
      throw failure(
        "DOWNLOAD_FAILED",
        { url: publicName(url), reason: innermostReason(cut.error) },
        cut.error,
      );
    }
    await pause(attempt, context.signal);
  }
}

/**
 * One request. Resolves to null when the file is complete, else to the reason of the interruption; rejects if
 * resuming is pointless.
 */
async function fetchRest(job: Job, position: Position): Promise<{ readonly error: unknown } | null> {
  const { file, expected, stall } = job;
  const { signal, progress } = job.context;
  let fits = false;
  const stalled = new AbortController();
  const timer = setTimeout(
    () => stalled.abort(new Error(`no data was received for ${stall / 1000} seconds`)),
    stall,
  );
  const chunks = receive(job.url, position, AbortSignal.any([signal, stalled.signal]));
  try {
    for (;;) {
      const chunk = await nextOf(chunks, signal);
      if ("error" in chunk) {
        return chunk;
      }
      timer.refresh();
      requireSize(expected, position, chunk.done === true ? 0 : chunk.value.length, chunk.done === true);
      if (chunk.done) {
        return null;
      }
      // Once for each response, before its first chunk is written.
      if (!fits) {
        await requireSpace(dirname(job.path), (position.total ?? position.done) - position.done);
      }
      fits = true;
      await writeAll(file, chunk.value, position.done);
      position.done += BigInt(chunk.value.length);
      const { done, total } = position;
      progress({ phase: "Downloading image", done, ...(total === undefined ? {} : { total }) });
    }
  } finally {
    clearTimeout(timer);
    await chunks.return();
  }
}

/** The next chunk, or the reason of the interruption; rejects if resuming is pointless. */
async function nextOf(
  chunks: AsyncGenerator<Uint8Array, void>,
  signal: AbortSignal,
): Promise<IteratorResult<Uint8Array, void> | { readonly error: unknown }> {
  try {
    return await chunks.next();
  } catch (error) {
    if (signal.aborted || isStrataError(error)) {
      throw error;
    }
    return { error };
  }
}

/** A file that is too long is not downloaded to its end. */
function requireSize(expected: Expected | undefined, position: Position, more: number, ended: boolean): void {
  if (expected === undefined) {
    return;
  }
  const { image, size } = expected;
  const so = position.done + BigInt(more);
  const actual = position.total ?? so;
  if (actual !== size && (position.total !== undefined || ended || so > size)) {
    throw failure("SIZE_MISMATCH", { image, actual, expected: size });
  }
}

async function* receive(url: URL, position: Position, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  const response = await request(url, position, signal);
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  const resumed = response.status === 206 && range?.[1] === String(position.done);
  if (response.status === 206 && !resumed) {
    await response.body?.cancel();
    position.validator = undefined;
    position.done = 0n;
    throw new Error("the server did not send the part that was requested");
  }
  if (!resumed) {
    position.done = 0n;
  }
  position.validator = validatorOf(response);
  const length = response.headers.get("content-length");
  position.total = length === null ? undefined : position.done + BigInt(length);
  yield* response.body ?? [];
  if (position.total !== undefined && position.done < position.total) {
    throw new Error(`it ended after ${position.done} of ${position.total} bytes`);
  }
}

async function request(url: URL, position: Position, signal: AbortSignal): Promise<Response> {
  const headers = new Headers({ "accept-encoding": "identity" });
  // Without an identifier of the content, the rest might belong to another file, so everything is requested
  // again.
  if (position.done > 0n && position.validator !== undefined) {
    headers.set("range", `bytes=${position.done}-`);
    headers.set("if-range", position.validator);
  }
  const response = await fetch(withoutLogin(url, headers), { headers, signal, redirect: "follow" });
  if (response.ok) {
    return response;
  }
  await response.body?.cancel();
  const reason = `the server answered ${response.status} ${response.statusText}`.trim();
  if (response.status === 416) {
    position.done = 0n;
  }
  // A server error may be temporary; a refusal is not.
  if (response.status >= 500 || response.status === 416 || response.status === 429) {
    throw new Error(reason);
  }
  throw failure("DOWNLOAD_FAILED", { url: publicName(url), reason });
}

/** A weak tag does not guarantee identical bytes. */
function validatorOf({ headers }: Response): string | undefined {
  const tag = headers.get("etag");
  return tag !== null && !tag.startsWith("W/") ? tag : (headers.get("last-modified") ?? undefined);
}

async function writeAll(file: FileHandle, bytes: Uint8Array, at: bigint): Promise<void> {
  for (let offset = 0; offset < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, offset, bytes.length - offset, Number(at) + offset);
    offset += bytesWritten;
  }
}
