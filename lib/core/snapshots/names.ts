import { failure } from "../../errors.ts";

const NAME = /^[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

/**
 * Names that other tools gave to what was adopted: letters, marks and digits of any script, spaces and `._+@()-`.
 * What the command line, paths, settings or ssh would read otherwise is not there: `: = / ,`, quotes, controls.
 */
const FOREIGN = /^[\p{L}\p{N}_][\p{L}\p{M}\p{N}._+@() -]*(?<![. ])$/u;
/** libvirt names a file after the domain, bytes. */
const LONGEST = 240;

/** Rejects an invalid name for a new instance or snapshot. */
export function checkName(kind: "instance" | "snapshot", name: string): void {
  if (!NAME.test(name)) {
    throw failure("INVALID_NAME", { kind, name });
  }
}

/** Rejects what cannot be the name of an instance, whoever gave it. */
export function checkInstanceName(name: string): void {
  if (!isInstanceName(name)) {
    throw failure("INVALID_NAME", { kind: "instance", name });
  }
}

/** True for what can be the name of an instance, whoever gave it: strata, or with an adopted one another tool. */
export function isInstanceName(name: string): boolean {
  return NAME.test(name) || (FOREIGN.test(name) && Buffer.byteLength(name) <= LONGEST);
}

/** A name for something new that is made after an instance: `Windows 11` becomes `Windows-11`. */
export function plainName(name: string): string {
  const plain = name
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .replace(/[^A-Za-z0-9]+/g, "-")
    .replace(/^[^A-Za-z]+|-+$/g, "");
  return plain === "" ? "instance" : plain;
}

/**
 * The default name of the next snapshot and its counter: `snapshotN`, with N one more than the number ever
 * taken. A name that is in use is skipped.
 */
export function nextSnapshot(taken: number, existing: Iterable<string>): { name: string; taken: number } {
  const names = new Set(existing);
  let number = taken + 1;
  while (names.has(`snapshot${number}`)) {
    number += 1;
  }
  return { name: `snapshot${number}`, taken: number };
}
