import type { Kit } from "./kit.ts";

/** Steps that fail: all or nothing. */
export function faultTests(_kit: Kit): void {}
