import { chmodSync, fchmodSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";

/** A log of this size when a command begins to write is rotated, bytes. */
const FILE_SIZE = 5 * 1024 * 1024;
/** Number of older logs that are kept. */
const OLDER = 2;

/**
 * Appends to `strata.log` in a folder, both with access for their owner only. winston's own file transport
 * waits forever for a file that cannot be opened or written. This one reports it once and drops the lines.
 */
export function logFile(folder: string, tell: (error: unknown) => void): Writable {
  let file: number | undefined | null;
  return new Writable({
    write(chunk: Uint8Array, _, done) {
      try {
        if (file === undefined) {
          file = open(folder);
        }
        if (file !== null) {
          for (let at = 0; at < chunk.length; ) {
            at += writeSync(file, chunk, at);
          }
        }
      } catch (error) {
        file = null;
        tell(error);
      }
      done();
    },
  });
}

function open(folder: string): number {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  const path = join(folder, "strata.log");
  const file = openSync(path, "a", 0o600);
  fchmodSync(file, 0o600);
  if (fstatSync(file).size < FILE_SIZE) {
    return file;
  }
  const name = (number: number) => join(folder, number === 0 ? "strata.log" : `strata${number}.log`);
  // If two processes rotate at once, one finds a file already moved. It keeps writing to the file that it has
  // open.
  for (let number = OLDER; number > 0; number--) {
    try {
      renameSync(name(number - 1), name(number));
    } catch {}
  }
  const next = openSync(path, "a", 0o600);
  fchmodSync(next, 0o600);
  return next;
}
