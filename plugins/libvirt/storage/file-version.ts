import { type Stats, statSync } from "node:fs";

export function statIfThere(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

/**
 * Differs after a file was written or replaced, but not after a change of its name or of header times. "" if
 * the file does not exist.
 */
export function fileVersion(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? "" : `${found.ino} ${found.size} ${found.mtimeNs}`;
}
