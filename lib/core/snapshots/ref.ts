import { failure } from "../../errors.ts";
import type { Ref, SnapshotRef } from "../api/strata.ts";
import { checkInstanceName, checkName } from "./names.ts";

/** A ref whose text is what users type: `${ref}` is `NAME` or `NAME.SNAPSHOT`. */
function readable<T extends Ref>(ref: T): T {
  return Object.defineProperty(ref, "toString", { value: () => formatRef(ref) });
}

/** The ref of a snapshot in strata's answers. */
export function snapshotRef(instance: string, snapshot: string): SnapshotRef {
  return readable({ instance, snapshot });
}

/**
 * Reads `NAME` or `NAME.SNAPSHOT` by its form alone: what follows the last dot is a snapshot. An adopted instance may
 * have dots in its own name; `Strata.resolve` knows which there are. Throws INVALID_NAME.
 */
export function parseRef(text: string): Ref {
  const dot = text.lastIndexOf(".");
  const instance = dot === -1 ? text : text.slice(0, dot);
  checkInstanceName(instance);
  if (dot === -1) {
    return instanceRef(instance);
  }
  const snapshot = text.slice(dot + 1);
  checkName("snapshot", snapshot);
  return snapshotRef(instance, snapshot);
}

/** Reads `NAME.SNAPSHOT`. Throws INVALID_NAME, and USAGE if no snapshot is named. */
export function parseSnapshotRef(text: string): SnapshotRef {
  return asSnapshotRef(parseRef(text), text);
}

/** The ref as that of a snapshot. Throws USAGE if `text` names an instance. */
export function asSnapshotRef({ instance, snapshot }: Ref, text: string): SnapshotRef {
  if (snapshot === undefined) {
    throw failure("USAGE", { reason: `give INSTANCE.SNAPSHOT; "${text}" does not name a snapshot` });
  }
  return snapshotRef(instance, snapshot);
}

/** The ref of an instance in strata's answers. */
export function instanceRef(instance: string): Ref {
  return readable({ instance });
}

/** `NAME` or `NAME.SNAPSHOT`. */
export function formatRef({ instance, snapshot }: Ref): string {
  return snapshot === undefined ? instance : `${instance}.${snapshot}`;
}
