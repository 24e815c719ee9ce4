import type { Kit } from "./kit.ts";

/** Files into a guest and out of it, by commands. */
export function transferTests(_kit: Kit): void {}
