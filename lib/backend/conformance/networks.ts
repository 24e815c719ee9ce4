import type { Kit } from "./kit.ts";

/** Networks that instances can be on. */
export function networkTests(_kit: Kit): void {}
