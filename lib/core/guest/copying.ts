import { mkdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import type { Context } from "../../engine/contract.ts";
import { checkEach } from "../../errors/check-each.ts";
import { failure } from "../../errors.ts";
import { bodyLength, type Entry, wholeBody } from "../../transfer/entry.ts";
import type { GuestEnd } from "../../transfer/guest.ts";
import type { Placement } from "../../transfer/guest-writer.ts";
import type { GuestPath, TransferSource, TransferTarget } from "../api/strata.ts";
import { contextOfItem } from "../session/session.ts";

interface Options {
  readonly recursive?: boolean;
  readonly parents?: boolean;
}

/** The guests of a transfer, wherever they are. */
export interface Guests {
  /** Rejects unless the instance is there. */
  check(name: string): Promise<void>;
  /** A guest, used as its default user. */
  end(name: string): GuestEnd;
  /** What is left out, for the log. */
  note(text: string): void;
}

/**
 * Copies files between this host and instances. Everything that can be checked is checked before anything is
 * copied.
 */
export async function copy(
  guests: Guests,
  sources: readonly TransferSource[],
  target: TransferTarget,
  options: Options,
  context: Context,
): Promise<void> {
  const ends = [...sources, target];
  const instances = ends.filter((end): end is GuestPath => "instance" in end);
  if (instances.length === 0) {
    throw failure("USAGE", { reason: "one end of a transfer must be an instance: give NAME:PATH" });
  }
  if (sources.length > 1 && ends.some((end) => "stream" in end)) {
    throw failure("USAGE", { reason: "a stream must be the only source" });
  }
  const names = new Set(instances.map(({ instance }) => instance));
  await checkEach(names, (name) => guests.check(name));
  await checkEach(sources.filter(isHostPath), ({ path }) => checkHost(path, options));
  const { transferError } = await import("../../transfer/host.ts");
  const expanded: TransferSource[] = [];
  for (const source of sources) {
    expanded.push(...("instance" in source ? await expand(guests, source, context) : [source]));
  }
  if (expanded.length > 1 && "stream" in target) {
    throw failure("USAGE", { reason: "only one file can be written to a stream" });
  }
  const skipped: string[] = [];
  for (const [at, source] of expanded.entries()) {
    await transferOne(
      guests,
      source,
      target,
      { several: expanded.length > 1, ...options, skipped },
      contextOfItem(context, at + 1, expanded.length),
    ).catch((error: unknown) => {
      if (context.signal.aborted) {
        throw failure("CANCELLED", {}, error);
      }
      throw transferError("path" in source ? source.path : "-", error);
    });
  }
  if (skipped.length > 0) {
    throw failure("TRANSFER_INCOMPLETE", {
      names: skipped.slice(0, SHOWN).join(", "),
      count: skipped.length,
    });
  }
}

/** Names that an error shows. */
const SHOWN = 5;

/** The paths that a pattern of a guest stands for, in its shell's order; a path without one is taken as it is. */
async function expand(guests: Guests, source: GuestPath, { signal }: Context): Promise<GuestPath[]> {
  const { instance, path } = source;
  if (!/[*?[]/.test(path)) {
    return [source];
  }
  const { EXPAND } = await import("../../transfer/scripts.ts");
  const running = await guests.end(instance).run(["sh", "-c", EXPAND, "sh", path], signal);
  running.stdin.end();
  running.stderr.resume();
  const found = (await text(running.stdout)).split("\0").slice(0, -1);
  await running.exit;
  if (found.length === 0) {
    throw failure("FILE_NOT_FOUND", { path: `${instance}:${path}` });
  }
  return found.map((each) => ({ instance, path: each }));
}

function isHostPath(end: TransferSource | TransferTarget): end is { readonly path: string } {
  return "path" in end && !("instance" in end);
}

async function checkHost(path: string, { recursive }: Options): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    throw failure("FILE_NOT_FOUND", { path }, error);
  });
  if (found.isDirectory() && recursive !== true) {
    throw failure("TRANSFER_FAILED", { path, reason: "it is a folder; use --recursive" });
  }
  if (!found.isDirectory() && !found.isFile()) {
    throw failure("TRANSFER_FAILED", { path, reason: "it is neither a file nor a folder" });
  }
}

async function transferOne(
  guests: Guests,
  source: TransferSource,
  target: TransferTarget,
  options: Options & { readonly several: boolean; readonly skipped: string[] },
  context: Context,
): Promise<void> {
  const { signal } = context;
  signal.throwIfAborted();
  const { writeGuest, writeGuestStream } = await import("../../transfer/guest-writer.ts");
  const name = "path" in source ? nameOf(source.path) : "";
  const to = "path" in target ? target.path : "";
  const folder = options.several || /(^|\/)\.{0,2}$/.test(to);
  const placement: Placement = { path: to, name, folder, parents: options.parents === true };
  if ("stream" in source) {
    if (!("instance" in target)) {
      throw failure("USAGE", { reason: "the destination of a stream must be an instance" });
    }
    const bytes = watched(source.stream, context, undefined);
    return writeGuestStream(guests.end(target.instance), placement, bytes, signal);
  }
  const over = new AbortController();
  const reading = { ...context, signal: AbortSignal.any([signal, over.signal]) };
  try {
    const entries = await read(guests, source, options, reading);
    if ("instance" in target) {
      return await writeGuest(guests.end(target.instance), placement, entries, signal);
    }
    if ("stream" in target) {
      return await writeStream(entries, target.stream, signal);
    }
    const { writeHost } = await import("../../transfer/host.ts");
    await writeHost(await place(placement), entries, signal);
  } finally {
    // A target that refuses interrupts the source in the middle.
    over.abort();
  }
}

async function read(
  guests: Guests,
  source: { readonly path: string } | GuestPath,
  { recursive, skipped }: Options & { readonly skipped: string[] },
  context: Context,
): Promise<AsyncIterable<Entry>> {
  if ("instance" in source) {
    const { readGuest } = await import("../../transfer/guest-reader.ts");
    const { instance, path } = source;
    const end = guests.end(instance);
    const note = (inner: string) => skipped.push(`${instance}:${join(path, inner)}`);
    const entries = readGuest(end, path, recursive === true, context.signal, note);
    return withProgress(entries, context, undefined);
  }
  const { measureHost, readHost } = await import("../../transfer/host.ts");
  const note = (path: string, why: "name" | "kind") => {
    if (why === "name") {
      skipped.push(path);
    } else {
      guests.note(`skipped, because it is not a file, folder or link: ${path}`);
    }
  };
  return withProgress(readHost(source.path, note), context, await measureHost(source.path));
}

/** Reports progress; the size of a guest's folder is not known in advance. */
async function* withProgress(
  entries: AsyncIterable<Entry>,
  context: Context,
  total: bigint | undefined,
): AsyncGenerator<Entry> {
  let before = 0n;
  for await (const entry of entries) {
    if (entry.kind !== "file") {
      yield entry;
      continue;
    }
    const length = BigInt(bodyLength(entry));
    const bytes = watched(entry.body, context, total ?? (entry.path === "" ? length : undefined), before);
    yield { ...entry, body: Readable.from(bytes, { objectMode: false }) };
    before += length;
  }
}

async function* watched(
  bytes: AsyncIterable<Uint8Array>,
  { progress }: Context,
  total: bigint | undefined,
  before = 0n,
): AsyncGenerator<Uint8Array> {
  let done = before;
  for await (const chunk of bytes) {
    done += BigInt(chunk.length);
    progress({ phase: "Transferring", done, ...(total === undefined ? {} : { total }) });
    yield chunk;
  }
}

/** The name of a source in a folder; "" if it has no name of its own, such as "." and "..". */
function nameOf(path: string): string {
  const name = basename(path);
  return name === "." || name === ".." ? "" : name;
}

/** The path on this host where a source is stored. */
async function place({ path, name, folder, parents }: Placement): Promise<string> {
  if (parents) {
    await mkdir(folder ? path : dirname(path), { recursive: true });
  }
  const there = await stat(path).catch(() => undefined);
  if (there?.isDirectory() === true) {
    return join(path, name);
  }
  if (folder) {
    throw failure("TRANSFER_FAILED", { path, reason: "the folder does not exist; --parents creates it" });
  }
  if ((await stat(dirname(path)).catch(() => undefined))?.isDirectory() !== true) {
    throw failure("TRANSFER_FAILED", {
      path,
      reason: "its parent folder does not exist; --parents creates it",
    });
  }
  // If the user names a link, it stays a link.
  return there === undefined ? path : realpath(path);
}

async function writeStream(
  entries: AsyncIterable<Entry>,
  stream: NodeJS.WritableStream,
  signal: AbortSignal,
): Promise<void> {
  for await (const entry of entries) {
    if (entry.kind !== "file") {
      throw failure("USAGE", { reason: "only a file can be written to a stream" });
    }
    await pipeline(wholeBody(entry), stream, { end: false, signal });
  }
}
