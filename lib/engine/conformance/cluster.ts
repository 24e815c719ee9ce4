import type { Kit } from "./kit.ts";

/** Several hosts behind one engine. */
export function clusterTests(_kit: Kit): void {}
