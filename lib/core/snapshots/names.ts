import { failure } from "../../errors.ts";

const NAME = /^[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

/** Rejects an invalid name of an instance or snapshot. */
export function checkName(kind: "instance" | "snapshot", name: string): void {
  if (!NAME.test(name)) {
    throw failure("INVALID_NAME", { kind, name });
  }
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
