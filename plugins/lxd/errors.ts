import type { MapError } from "../../lib/engine/map-errors.ts";
import { errnoOf, failure, reasonOf, type StrataError, strataErrorOf } from "../../lib/errors.ts";
import type { LxdEngine } from "./engine.ts";
import type { Flavour } from "./flavour.ts";
import { INSTANCE_NOT_FOUND, SPACE_USED_UP } from "./messages.ts";
import { LxdConnectionError, LxdError } from "./rest/errors.ts";

/** For a net around calls whose subjects are names, or ids whose names are known. */
export function errorsOf({ flavour, names }: Pick<LxdEngine, "flavour" | "names">): MapError {
  return (error, subject) =>
    lxdError(error, flavour, subject === undefined ? undefined : (names.get(subject) ?? subject));
}

/** Maps what the server or the way to it reported about the instance of that name, where it was about one. */
export function lxdError(error: unknown, flavour: Flavour, name?: string): StrataError {
  const own = strataErrorOf(error);
  if (own !== undefined) {
    return own;
  }
  const { title: engine, group } = flavour;
  const about = name === undefined ? {} : { name };
  if (error instanceof LxdConnectionError) {
    const { message: reason, lost, cause } = error;
    if (["EACCES", "EPERM"].includes(errnoOf(cause) ?? "")) {
      return failure(
        "PERMISSION_DENIED",
        { reason: `${reason}. Members of the group ${group} may use it.` },
        error,
      );
    }
    return failure(lost ? "ENGINE_LOST" : "ENGINE_UNAVAILABLE", { ...about, engine, reason }, error);
  }
  const reason = reasonOf(error);
  if (!(error instanceof LxdError)) {
    return failure("ENGINE_ERROR", { ...about, engine, reason }, error);
  }
  if (error.status === 403) {
    return failure("PERMISSION_DENIED", { ...about, reason }, error);
  }
  if (error.status === 404 && name !== undefined && isSaid(error, INSTANCE_NOT_FOUND)) {
    return failure("INSTANCE_NOT_FOUND", { name }, error);
  }
  if (isSaid(error, SPACE_USED_UP)) {
    return failure("NO_SPACE", { where: "the storage pool", ...about }, error);
  }
  return failure("ENGINE_ERROR", { ...about, engine, reason }, error);
}

/** True when LXD answered with one of these HTTP statuses. */
export function isStatus(error: unknown, ...statuses: readonly number[]): boolean {
  return error instanceof LxdError && statuses.includes(error.status);
}

/** True when LXD answered in these words; see `messages.ts`. */
export function isSaid(error: unknown, words: RegExp): boolean {
  return error instanceof LxdError && words.test(error.message);
}
