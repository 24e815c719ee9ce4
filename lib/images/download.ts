import { type FileHandle, open, rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "../backend/contract.ts";
import { failure, isStrataError } from "../errors.ts";
import { storageFailure } from "./storage.ts";

/** How often a download that was cut is taken up again without real progress in between. */
const RESUMES = 5;
/** What counts as real progress, bytes: a server that gives a byte at a time ends nevertheless. */
const PROGRESS = 1024n * 1024n;

export interface DownloadOptions {
  /** Waits before the next attempt; `attempt` counts from 1 those in a row without progress. */
  readonly pause?: (attempt: number, signal: AbortSignal) => Promise<void>;
}

/** The first attempt to resume comes at once, since most cuts are momentary; then 0.5, 1, 2, 4 s. */
async function pauseByDefault(attempt: number, signal: AbortSignal): Promise<void> {
  if (attempt > 1) await delay(250 * 2 ** (attempt - 1), undefined, { signal });
}

/**
 * Downloads a URL into a new file, mode 0600. A connection that is cut is resumed where it broke, if the
 * server's file is still the same. Rejects with DOWNLOAD_FAILED, NO_SPACE or CANCELLED; the file is then
 * removed. What came is not verified.
 */
export async function download(
  url: URL,
  path: string,
  context: Context,
  { pause = pauseByDefault }: DownloadOptions = {},
): Promise<void> {
  try {
    await using file = await open(path, "wx", 0o600);
    await fetchAll(url, file, context, pause);
  } catch (error) {
    await rm(path, { force: true });
    if (context.signal.aborted) throw failure("CANCELLED", {}, error);
    throw isStrataError(error) ? error : storageFailure(error, path);
  }
}

/** How far a download has come. */
interface Position {
  done: bigint;
  total: bigint | undefined;
  /** What the server names this very content by. */
  validator: string | undefined;
}

async function fetchAll(
  url: URL,
  file: FileHandle,
  context: Context,
  pause: NonNullable<DownloadOptions["pause"]>,
): Promise<void> {
  const position: Position = { done: 0n, total: undefined, validator: undefined };
  for (let attempt = 1; ; attempt++) {
    const before = position.done;
    const cut = await fetchRest(url, file, position, context);
    // A response that started over may have been shorter than what was there before.
    if (cut === null) return file.truncate(Number(position.done));
    if (position.done - before >= PROGRESS) attempt = 1;
    if (attempt > RESUMES)
      throw failure("DOWNLOAD_FAILED", { url: publicName(url), reason: reasonOf(cut.error) }, cut.error);
    await pause(attempt, context.signal);
  }
}

/** One request. Resolves to null when all is there, else to what cut it; rejects where it is no use to go on. */
async function fetchRest(
  url: URL,
  file: FileHandle,
  position: Position,
  { signal, progress }: Context,
): Promise<{ readonly error: unknown } | null> {
  const chunks = receive(url, position, signal);
  for (;;) {
    let chunk: IteratorResult<Uint8Array, void>;
    try {
      chunk = await chunks.next();
    } catch (error) {
      if (signal.aborted || isStrataError(error)) throw error;
      return { error };
    }
    if (chunk.done) return null;
    await writeAll(file, chunk.value, position.done);
    position.done += BigInt(chunk.value.length);
    const { done, total } = position;
    progress({ phase: "Downloading image", done, ...(total === undefined ? {} : { total }) });
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
    throw new Error("the server sent another part than the one asked for");
  }
  if (!resumed) position.done = 0n;
  position.validator = validatorOf(response);
  const length = response.headers.get("content-length");
  position.total = length === null ? undefined : position.done + BigInt(length);
  yield* response.body ?? [];
  if (position.total !== undefined && position.done < position.total)
    throw new Error(`it ended after ${position.done} of ${position.total} bytes`);
}

async function request(url: URL, position: Position, signal: AbortSignal): Promise<Response> {
  const headers = new Headers({ "accept-encoding": "identity" });
  // Without a name for the content a resumed half might be of another file: then all is asked anew.
  if (position.done > 0n && position.validator !== undefined) {
    headers.set("range", `bytes=${position.done}-`);
    headers.set("if-range", position.validator);
  }
  const response = await fetch(withoutLogin(url, headers), { headers, signal, redirect: "follow" });
  if (response.ok) return response;
  await response.body?.cancel();
  const reason = `the server answered ${response.status} ${response.statusText}`.trim();
  if (response.status === 416) position.done = 0n;
  // A server in trouble may recover; what it refuses it will refuse again.
  if (response.status >= 500 || response.status === 416 || response.status === 429) throw new Error(reason);
  throw failure("DOWNLOAD_FAILED", { url: publicName(url), reason });
}

/** What errors and records may show of a URL: neither a password nor a token. */
export function publicName(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** fetch takes no URL with a name and password in it; a redirect to another host does not get the header. */
function withoutLogin(url: URL, headers: Headers): URL {
  if (url.username === "" && url.password === "") return url;
  const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  headers.set("authorization", `Basic ${Buffer.from(login).toString("base64")}`);
  const bare = new URL(url);
  bare.username = "";
  bare.password = "";
  return bare;
}

/** A weak tag does not promise the same bytes. */
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

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}
