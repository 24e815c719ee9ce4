import { failure, reasonOf, type StrataError, strataErrorOf } from "../../lib/errors.ts";
import { LxdConnectionError, LxdError } from "./rest/errors.ts";

/** The engine's name in messages. */
export const ENGINE = "LXD";

/** Maps what LXD or the way to it reported about the instance of that name or id, where it was about one. */
export function lxdError(error: unknown, instance?: string): StrataError {
  const own = strataErrorOf(error);
  if (own !== undefined) {
    return own;
  }
  const name = instance?.split("/", 1)[0];
  const about = name === undefined ? {} : { name };
  if (error instanceof LxdConnectionError) {
    const { message: reason, lost } = error;
    if (/EACCES|EPERM/.test(reason)) {
      return failure(
        "PERMISSION_DENIED",
        { reason: `${reason}. Members of the group lxd (incus-admin for Incus) may use it.` },
        error,
      );
    }
    return failure(lost ? "ENGINE_LOST" : "ENGINE_UNAVAILABLE", { ...about, engine: ENGINE, reason }, error);
  }
  const reason = reasonOf(error);
  if (!(error instanceof LxdError)) {
    return failure("ENGINE_ERROR", { ...about, engine: ENGINE, reason }, error);
  }
  if (error.status === 403) {
    return failure("PERMISSION_DENIED", { ...about, reason }, error);
  }
  if (error.status === 404 && name !== undefined && /Instance not found/i.test(reason)) {
    return failure("INSTANCE_NOT_FOUND", { name }, error);
  }
  if (/No space left on device|Disk quota exceeded/i.test(reason)) {
    return failure("NO_SPACE", { where: "the storage pool", ...about }, error);
  }
  return failure("ENGINE_ERROR", { ...about, engine: ENGINE, reason }, error);
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
