import { type ErrorDetails, failure, isStrataError, type StrataError } from "../../lib/errors.ts";
import { LxdConnectionError, LxdError } from "./rest/errors.ts";

/** The engine's name in messages. */
export const ENGINE = "LXD";

/** Maps what LXD or the way to it reported; `details` go into the error's own. */
export function lxdError(error: unknown, details: ErrorDetails = {}): StrataError {
  if (isStrataError(error)) {
    return error;
  }
  if (error instanceof LxdConnectionError) {
    const { message: reason, lost } = error;
    if (/EACCES|EPERM/.test(reason)) {
      return failure(
        "PERMISSION_DENIED",
        { reason: `${reason}. Members of the group lxd (incus-admin for Incus) may use it.` },
        error,
      );
    }
    return failure(
      lost ? "ENGINE_LOST" : "ENGINE_UNAVAILABLE",
      { ...details, engine: ENGINE, reason },
      error,
    );
  }
  if (error instanceof Error && error.name === "AbortError") {
    return failure("CANCELLED", details, error);
  }
  const reason = error instanceof Error ? error.message : String(error);
  if (!(error instanceof LxdError)) {
    return failure("ENGINE_ERROR", { ...details, engine: ENGINE, reason }, error);
  }
  if (error.status === 403) {
    return failure("PERMISSION_DENIED", { ...details, reason }, error);
  }
  if (error.status === 404 && details.name !== undefined && /Instance not found/i.test(reason)) {
    return failure("INSTANCE_NOT_FOUND", details, error);
  }
  if (/No space left on device|Disk quota exceeded/i.test(reason)) {
    return failure("NO_SPACE", { where: "the storage pool", ...details }, error);
  }
  return failure("ENGINE_ERROR", { ...details, engine: ENGINE, reason }, error);
}

/** Runs a piece that talks to LXD and maps what it rejects with. */
export async function mapped<T>(work: () => Promise<T>, details: ErrorDetails = {}): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw lxdError(error, details);
  }
}

/** True when LXD answered with one of these HTTP statuses. */
export function isStatus(error: unknown, ...statuses: readonly number[]): boolean {
  return error instanceof LxdError && statuses.includes(error.status);
}

/**
 * True of a change that LXD has made and then failed to tell the agent in a virtual machine: it sends word of
 * what is `user.*` to one that runs.
 */
export function isUntold(error: unknown): boolean {
  return (
    error instanceof LxdError &&
    /VM agent isn't currently running|Failed to connect to \w+-agent/i.test(error.message)
  );
}

/** True where LXD has not read what a program of its own has told it. */
export function isMisread(error: unknown): boolean {
  return error instanceof LxdError && /unexpected end of JSON input/.test(error.message);
}

/** True when LXD would not begin since another operation on the same instance is under way. */
export function isBusy(error: unknown): boolean {
  return (
    error instanceof LxdError &&
    /non-reusable operation|Instance is busy running|is currently being/i.test(error.message)
  );
}
