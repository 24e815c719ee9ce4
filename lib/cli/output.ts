import { fstatSync, writeSync } from "node:fs";
import { Writable } from "node:stream";
import { errnoOf, failure, type StrataError } from "../errors.ts";
import { systemReason } from "../util/own-files.ts";

/**
 * Why a stream could not be written, the first error only: its reader may have ended, or its disk may be
 * full.
 */
const lost = new WeakMap<NodeJS.WritableStream, Error>();
/** The last write to a stream, because not every caller waits for its own. */
const last = new WeakMap<NodeJS.WritableStream, Promise<void>>();
const watched = new WeakSet<NodeJS.WritableStream>();

/** Records errors of a stream. Otherwise an error that is not awaited would end the process. */
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

/** Writes a text and waits until it is flushed. False if it, or something before it, could not be written. */
export async function writeTo(stream: NodeJS.WritableStream, text: string | Uint8Array): Promise<boolean> {
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

/** Why a stream could not be written; undefined if all of it was flushed. */
export async function lossOf(stream: NodeJS.WritableStream): Promise<Error | undefined> {
  await last.get(stream);
  return lost.get(stream);
}

/** True if the reader of our output has ended early, which is not a failure. */
export function hasSeenEnough(loss: Error): boolean {
  return errnoOf(loss) === "EPIPE";
}

/** True if an error was caused, directly or indirectly, by lost output. */
export function comesOf(error: unknown, loss: Error): boolean {
  return error === loss || (error instanceof Error && comesOf(error.cause, loss));
}

export function outputFailure(loss: Error, outcome: string): StrataError {
  return failure("OUTPUT_FAILED", { reason: systemReason(loss), outcome }, loss);
}

/** Writes some of the bytes to a descriptor; returns how many. */
type Write = (descriptor: number, bytes: Uint8Array) => number;

/**
 * A file that output was redirected to. Node writes each chunk with one call and does not check how much of
 * it was written: on a disk that fills up, the rest would be missing without an error.
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
