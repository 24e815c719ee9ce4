import type * as Api from "./core/api.ts";
import { openStrata } from "./core/open.ts";

export type {
  Check,
  Context,
  EngineInfo,
  ExecOptions,
  ExecSession,
  Finding,
  Log,
  Mount,
  Progress,
} from "./backend/contract.ts";
export * from "./core/api.ts";
export { ERRORS, type ErrorCode, EXIT, failure, isStrataError, StrataError } from "./errors.ts";
export { formatRef, parseRef } from "./snapshots/ref.ts";
export { openStrata };

/** The use cases of strata: `await using strata = await Strata.open()`. */
export const Strata = { open: openStrata } as const;
export type Strata = Api.Strata;
