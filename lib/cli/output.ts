import { fstatSync, writeSync } from "node:fs";
import { Writable } from "node:stream";
import { errnoOf, failure, type StrataError } from "../errors.ts";
import { systemReason } from "../util/own-files.ts";

/** What kept a stream from being written, first error only: whoever reads it may be gone, or its disk full. */
const lost = new WeakMap<NodeJS.WritableStream, Error>();
/** The last write to a stream: not everybody waits for theirs. */
const last = new WeakMap<NodeJS.WritableStream, Promise<void>>();
const watched = new WeakSet<NodeJS.WritableStream>();

/** Notes what goes wrong with a stream. Without that, an error that nobody awaits would end the process. */
export function watch(stream: NodeJS.WritableStream): void {
  if (watched.has(stream)) {
    return;
  }
  watched.add(stream);
  stream.on("error", (error: Error) => note(stream, error));
}

function note(stream: NodeJS.WritableStream, error: Error): void {
  if (!lost.has(stream)) {
    lost.set(stream, error);
  }
}

/** Writes a text and waits until it has left us. False where it, or something before it, could not be written. */
export async function writeTo(stream: NodeJS.WritableStream, text: string): Promise<boolean> {
  if (lost.has(stream)) {
    return false;
  }
  const left = new Promise<void>((resolve) => {
    stream.write(text, (error) => {
      if (error) {
        note(stream, error);
      }
      resolve();
    });
  });
  last.set(stream, left);
  await left;
  return !lost.has(stream);
}

/** What kept a stream from being written; undefined where all of it has left us. */
export async function lossOf(stream: NodeJS.WritableStream): Promise<Error | undefined> {
  await last.get(stream);
  return lost.get(stream);
}

/** True for whoever read our output and has seen enough: that is no failure. */
export function hasSeenEnough(loss: Error): boolean {
  return errnoOf(loss) === "EPIPE";
}

/** True where an error comes of a lost output, at whatever remove. */
export function comesOf(error: unknown, loss: Error): boolean {
  return error === loss || (error instanceof Error && comesOf(error.cause, loss));
}

export function outputFailure(loss: Error, outcome: string): StrataError {
  return failure("OUTPUT_FAILED", { reason: systemReason(loss), outcome }, loss);
}

/** Writes some of the bytes to a descriptor; tells how many. */
type Write = (descriptor: number, bytes: Uint8Array) => number;

/**
 * A file that output was redirected to. Node writes each piece with one call and does not look how much
 * of it was taken: on a disk that fills up the rest would be missing, with nothing said.
 */
export function fileOutput(descriptor: number, put: Write = writeSync): Writable {
  return new Writable({
    decodeStrings: true,
    write(chunk: Uint8Array, _, done) {
      try {
        for (let at = 0; at < chunk.length; ) {
          at += put(descriptor, chunk.subarray(at));
        }
        done();
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
    },
  });
}

let standard: NodeJS.WriteStream | Writable | undefined;

/** Standard output of this process. */
export function standardOutput(): NodeJS.WriteStream | Writable {
  standard ??= isFile(1) ? fileOutput(1) : process.stdout;
  return standard;
}

function isFile(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isFile();
  } catch {
    return false;
  }
}
