import { type Stats, statSync } from "node:fs";

export function statIfThere(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

/** What tells whether a file was written or replaced; a change of its name or header times aside. "" for one that is not there. */
export function fileVersion(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? "" : `${found.ino} ${found.size} ${found.mtimeNs}`;
}
