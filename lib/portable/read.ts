import { createHash, type Hash } from "node:crypto";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import tar from "tar-stream";
import type { ArrivingFile, Context } from "../engine/contract.ts";
import { isStrataError, reasonOf } from "../errors.ts";
import { broken, LONGEST_MANIFEST, MANIFEST, type Manifest, parseManifest, SUMS } from "./manifest.ts";

/** A parcel that arrives: its manifest, and its files as they come. */
export interface Arrival extends AsyncDisposable {
  readonly manifest: Manifest;
  /**
   * Each file with the name and size that the manifest gives it, in that order. Rejects with PARCEL_BROKEN at the end
   * unless all have come, and each as it was sent.
   */
  readonly files: AsyncIterable<ArrivingFile>;
}

/** Bytes that the sums of a parcel take at most, for each of its files. */
const LONGEST_SUM = 300;

/** Begins to read a parcel. Rejects with PARCEL_BROKEN. */
export async function openParcel(from: Readable, context: Context): Promise<Arrival> {
  const archive = tar.extract();
  // Errors are handled where the entries are read.
  archive.on("error", () => {});
  const fed = pipeline(from, archive, { signal: context.signal }).catch(() => {});
  const entries = archive[Symbol.asyncIterator]();
  const sums: string[] = [];
  const dispose = async () => {
    archive.destroy();
    await fed;
  };
  try {
    const bytes = await readText(await next(entries, MANIFEST, undefined), LONGEST_MANIFEST, sums);
    const manifest = await parseManifest(bytes);
    return {
      manifest,
      files: filesOf(entries, manifest, sums, context),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw explained(error, context);
  }
}

type Entries = AsyncIterator<tar.Entry>;

async function* filesOf(
  entries: Entries,
  { files }: Manifest,
  sums: string[],
  context: Context,
): AsyncGenerator<ArrivingFile> {
  const total = files.reduce((sum, { size }) => sum + BigInt(size), 0n);
  let done = 0n;
  try {
    for (const { name, size } of files) {
      const entry = await next(entries, name, size);
      const hash = createHash("sha256");
      yield {
        name,
        size,
        body: whole(entry, hash, context, (length) => {
          done += BigInt(length);
          context.progress({ phase: "Importing", done, total });
        }),
      };
      sums.push(sumLine(hash.digest("hex"), name));
    }
    const text = await readText(await next(entries, SUMS, undefined), LONGEST_SUM * (files.length + 2));
    checkSums(Buffer.from(text).toString("latin1"), sums);
    if ((await entries.next()).done !== true) {
      throw broken("something follows its last file");
    }
  } catch (error) {
    throw explained(error, context);
  }
}

/** The next entry, which must be that file. */
async function next(entries: Entries, name: string, size: number | undefined): Promise<tar.Entry> {
  const { value, done } = await entries.next();
  if (done === true) {
    throw broken(`it ends before ${name}`);
  }
  const entry: tar.Entry = value;
  const { header } = entry;
  if (header.name !== name || header.type !== "file" || (size !== undefined && header.size !== size)) {
    throw broken(
      `${name} does not come where it should`,
      new Error(`${header.type} ${header.name} of ${header.size} bytes`),
    );
  }
  return entry;
}

/** The same bytes; if they end early, with our reason. */
async function* whole(
  entry: AsyncIterable<Uint8Array>,
  hash: Hash,
  context: Context,
  told: (length: number) => void,
): AsyncGenerator<Uint8Array> {
  try {
    yield* hashed(entry, hash, told);
  } catch (error) {
    throw explained(error, context);
  }
}

async function* hashed(
  body: AsyncIterable<Uint8Array>,
  hash: Hash,
  told: (length: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    hash.update(chunk);
    told(chunk.length);
    yield chunk;
  }
}

/** All of a small file; its sum is added to `sums`. */
async function readText(entry: tar.Entry, most: number, sums?: string[]): Promise<Uint8Array> {
  const { name, size = 0 } = entry.header;
  if (size > most) {
    throw broken(`${name} has ${size} bytes, more than is read`);
  }
  const pieces: Uint8Array[] = [];
  const hash = createHash("sha256");
  for await (const chunk of hashed(entry, hash, () => {})) {
    pieces.push(chunk);
  }
  sums?.push(sumLine(hash.digest("hex"), name));
  return Buffer.concat(pieces);
}

function checkSums(said: string, sums: readonly string[]): void {
  const found = sums.join("");
  const whole = sumLine(createHash("sha256").update(found).digest("hex"), SUMS);
  if (said === found + whole) {
    return;
  }
  const lines = said.split("\n");
  const other = sums.find((line, at) => `${lines[at]}\n` !== line);
  throw broken(other === undefined ? "its sums differ" : `the sum of ${other.slice(66).trim()} differs`);
}

/** As `sha256sum` writes it. */
function sumLine(sum: string, name: string): string {
  return `${sum}  ${name}\n`;
}

function explained(error: unknown, { signal }: Context): unknown {
  if (isStrataError(error) || signal.aborted) {
    return error;
  }
  // What tar-stream says of what is no archive, and of one that is cut off.
  const isOurs = error instanceof Error && "syscall" in error;
  return isOurs ? error : broken(`it cannot be read: ${reasonOf(error)}`, error);
}
