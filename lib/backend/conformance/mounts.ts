import type { Kit } from "./kit.ts";

/** Folders of the host in the guest: attach, detach, what snapshots bring back. */
export function mountTests(_kit: Kit): void {}
