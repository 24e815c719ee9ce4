import type { Strata as StrataCalls } from "./core/api/strata.ts";
import { openStrata } from "./core/session/open.ts";

export type * from "./core/api/strata.ts";
export { parseRef, parseSnapshotRef } from "./core/snapshots/ref.ts";
export type {
  Check,
  Consistency,
  Disk,
  EngineInfo,
  ExecOptions,
  ExecSession,
  Feature,
  Finding,
  IdMap,
  Log,
  Mount,
  NicSpec,
  Progress,
  RepairChoice,
  Resources,
} from "./engine/contract.ts";
export { ERRORS, type ErrorCode, EXIT, failure, isStrataError, StrataError } from "./errors.ts";

/** The use cases of strata: `await using strata = await Strata.open()`. */
export const Strata = { open: openStrata } as const;
export type Strata = StrataCalls;
