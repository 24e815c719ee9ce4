import { failure } from "../../errors.ts";
import type { AnyRef, AnySnapshotRef, Ref, SnapshotRef } from "../api/strata.ts";
import { checkName } from "./names.ts";

/** A ref whose text is what users type: `${ref}` is `NAME` or `NAME.SNAPSHOT`. */
function readable<T extends Ref>(ref: T): T {
  return Object.defineProperty(ref, "toString", { value: () => formatRef(ref) });
}

/** The ref of a snapshot in strata's answers. */
export function snapshotRef(instance: string, snapshot: string): SnapshotRef {
  return readable({ instance, snapshot });
}

/** Reads `NAME` or `NAME.SNAPSHOT`. Throws INVALID_NAME. */
export function parseRef(text: string): Ref {
  const dot = text.indexOf(".");
  const instance = dot === -1 ? text : text.slice(0, dot);
  checkName("instance", instance);
  if (dot === -1) {
    return readable({ instance });
  }
  const snapshot = text.slice(dot + 1);
  checkName("snapshot", snapshot);
  return snapshotRef(instance, snapshot);
}

/** Reads `NAME.SNAPSHOT`. Throws INVALID_NAME, and USAGE if no snapshot is named. */
export function parseSnapshotRef(text: string): SnapshotRef {
  const { instance, snapshot } = parseRef(text);
  if (snapshot === undefined) {
    throw failure("USAGE", { reason: `give INSTANCE.SNAPSHOT; "${text}" does not name a snapshot` });
  }
  return snapshotRef(instance, snapshot);
}

/** Resolves a ref from a caller. */
export function toRef(given: AnyRef): Ref {
  return typeof given === "string" ? parseRef(given) : given;
}

/** Resolves a snapshot's ref from a caller. */
export function toSnapshotRef(given: AnySnapshotRef): SnapshotRef {
  return typeof given === "string" ? parseSnapshotRef(given) : given;
}

/** `NAME` or `NAME.SNAPSHOT`. */
export function formatRef({ instance, snapshot }: Ref): string {
  return snapshot === undefined ? instance : `${instance}.${snapshot}`;
}
