import type { Kit } from "./kit.ts";

/** Instances made without strata, brought in and let go. */
export function adoptionTests(_kit: Kit): void {}
