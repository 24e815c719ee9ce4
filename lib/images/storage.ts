import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Context } from "../engine/contract.ts";
import { failure } from "../errors.ts";
import { requireSpace } from "../util/free-space.ts";
import { atOwn, createFile } from "../util/own-files.ts";

const CHUNK = 1024 * 1024;
const ZEROS = Buffer.alloc(CHUNK);

/** SHA-256 of a file, in hex. Rejects with CANCELLED. */
export async function hashFile(path: string, { signal, progress }: Context): Promise<string> {
  const hash = createHash("sha256");
  const total = await fileSize(path);
  let done = 0n;
  try {
    for await (const chunk of createReadStream(path, { signal, highWaterMark: CHUNK })) {
      hash.update(chunk);
      done += BigInt(chunk.length);
      progress({ phase: "Verifying image", done, total });
    }
  } catch (error) {
    throw signal.aborted ? failure("CANCELLED", {}, error) : error;
  }
  return hash.digest("hex");
}

/**
 * Copies a file into a new one, mode 0600, with holes for runs of zeros; resolves to its SHA-256. Rejects
 * with FILE_NOT_FOUND for a source that cannot be read, NO_SPACE, CANCELLED.
 */
export async function copyHashed(source: string, target: string, context: Context): Promise<string> {
  const { signal, progress } = context;
  await using from = await open(source, "r").catch((error) => {
    throw failure("FILE_NOT_FOUND", { path: source }, error);
  });
  await using to = await atOwn(target, () => createFile(target));
  const hash = createHash("sha256");
  const { size: total, blocks } = await from.stat({ bigint: true });
  await requireSpace(dirname(target), blocks * 512n);
  const buffer = Buffer.alloc(CHUNK);
  let done = 0;
  for (;;) {
    if (signal.aborted) {
      throw failure("CANCELLED", {}, signal.reason);
    }
    const { bytesRead } = await from.read(buffer, 0, CHUNK, done);
    if (bytesRead === 0) {
      break;
    }
    const chunk = buffer.subarray(0, bytesRead);
    hash.update(chunk);
    await atOwn(target, () => writeSparse(to, chunk, done));
    done += bytesRead;
    progress({ phase: "Copying image", done: BigInt(done), total });
  }
  await to.truncate(done);
  return hash.digest("hex");
}

/** Writes a chunk of a new file at `at`, or leaves a hole if it consists of zeros. */
export async function writeSparse(file: FileHandle, chunk: Buffer, at: number): Promise<void> {
  if (chunk.equals(ZEROS.subarray(0, chunk.length))) {
    return;
  }
  for (let offset = 0; offset < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, offset, chunk.length - offset, at + offset);
    offset += bytesWritten;
  }
}

/** Size of a file, bytes. */
export async function fileSize(path: string): Promise<bigint> {
  return (await stat(path, { bigint: true })).size;
}
