import type { Ref } from "../api/strata.ts";
import { checkName } from "./names.ts";

/** Reads `NAME` or `NAME.SNAPSHOT`. Throws INVALID_NAME. */
export function parseRef(text: string): Ref {
  const dot = text.indexOf(".");
  const instance = dot === -1 ? text : text.slice(0, dot);
  checkName("instance", instance);
  if (dot === -1) return { instance };
  const snapshot = text.slice(dot + 1);
  checkName("snapshot", snapshot);
  return { instance, snapshot };
}

/** `NAME` or `NAME.SNAPSHOT`. */
export function formatRef({ instance, snapshot }: Ref): string {
  return snapshot === undefined ? instance : `${instance}.${snapshot}`;
}
