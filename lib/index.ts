export type {
  Check,
  Context,
  EngineInfo,
  ExecOptions,
  ExecSession,
  Log,
  Mount,
  Progress,
} from "./backend/contract.ts";
export * from "./core/api.ts";
export { openStrata } from "./core/open.ts";
export { ERRORS, type ErrorCode, EXIT, failure, isStrataError, StrataError } from "./errors.ts";
export { formatRef, parseRef } from "./snapshots/ref.ts";
