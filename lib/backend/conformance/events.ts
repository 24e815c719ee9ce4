import type { Kit } from "./kit.ts";

/** What an engine tells of changes. */
export function eventTests(_kit: Kit): void {}
