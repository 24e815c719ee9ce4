import { DEFINITIONS } from "./definitions.ts";
import type { Interference } from "./hand.ts";
import { LAYERS } from "./layers.ts";
import { RECORDS } from "./records.ts";
import { DISKS, VERBS } from "./verbs.ts";

/** All that others do to an instance behind our back. */
export const INTERFERENCES: readonly Interference[] = [
  ...DEFINITIONS,
  ...RECORDS,
  ...VERBS,
  ...DISKS,
  ...LAYERS,
];
