import { errnoOf, failure, reasonOf, type StrataError, strataErrorOf } from "../../lib/errors.ts";
import { CHECKPOINTS_EXIST, PORT_IN_USE, SPACE_USED_UP } from "./messages.ts";
import { CallTimeoutError, ConnectionLostError, LibvirtError } from "./rpc/index.ts";

/** The engine's name in messages. */
export const ENGINE = "libvirt";

/** Maps an error of libvirt or of its connection; `name` is that of the instance that the call is about, if any. */
export function libvirtError(error: unknown, name?: string): StrataError {
  const own = strataErrorOf(error);
  if (own !== undefined) {
    return own;
  }
  const about = name === undefined ? {} : { name };
  if (error instanceof ConnectionLostError) {
    return failure("ENGINE_LOST", { ...about, engine: ENGINE, reason: error.message }, error);
  }
  if (error instanceof CallTimeoutError) {
    return failure(
      "TIMEOUT",
      { ...about, seconds: error.limit / 1000, what: "libvirt does not answer" },
      error,
    );
  }
  if (!(error instanceof LibvirtError)) {
    const reason = reasonOf(error);
    return failure("ENGINE_ERROR", { ...about, engine: ENGINE, reason }, error);
  }
  const reason = error.message;
  switch (error.codeName) {
    case "NO_DOMAIN":
      if (name !== undefined) {
        return failure("INSTANCE_NOT_FOUND", { name }, error);
      }
      break;
    case "ACCESS_DENIED":
    case "AUTH_FAILED":
    case "AUTH_CANCELLED":
    case "AUTH_UNAVAILABLE":
    case "OPERATION_DENIED":
      return failure("PERMISSION_DENIED", { ...about, reason }, error);
    case "OPERATION_TIMEOUT":
    case "RESOURCE_BUSY":
      return failure("BUSY", { name: "the host", ...about }, error);
    case "NO_CONNECT":
    case "NO_SERVER":
      return failure("ENGINE_UNAVAILABLE", { ...about, engine: ENGINE, reason }, error);
  }
  const port = PORT_IN_USE.exec(reason)?.[1];
  if (port !== undefined) {
    return failure("PORT_TAKEN", { ...about, port }, error);
  }
  if (CHECKPOINTS_EXIST.test(reason)) {
    return failure(
      "CHECKPOINTS_IN_WAY",
      { name: "the domain", checkpoints: "of a backup tool", ...about },
      error,
    );
  }
  if (SPACE_USED_UP.test(reason)) {
    return failure("NO_SPACE", { where: "the storage pool", ...about }, error);
  }
  return failure("ENGINE_ERROR", { ...about, engine: ENGINE, reason }, error);
}

/** True when libvirt answered with one of these codes. */
export function isLibvirt(error: unknown, ...codeNames: readonly string[]): boolean {
  return error instanceof LibvirtError && codeNames.includes(error.codeName);
}

/** True when libvirt answered in these words; see `messages.ts`. */
export function isSaid(error: unknown, words: RegExp): boolean {
  return error instanceof LibvirtError && words.test(error.message);
}

/** True if the file system reported that the file does not exist. */
export function isAbsent(error: unknown): boolean {
  return errnoOf(error) === "ENOENT";
}

/** Maps an error of the file system about `path`. */
export function fileError(error: unknown, path: string): StrataError {
  const own = strataErrorOf(error);
  if (own !== undefined) {
    return own;
  }
  const code = errnoOf(error);
  switch (code) {
    case "EACCES":
    case "EPERM":
      return failure(
        "PERMISSION_DENIED",
        {
          reason: `${path} belongs to another user; run strata as root for qemu:///system, or use your own instances with: strata set local.libvirt.uri=qemu:///session`,
        },
        error,
      );
    case "ENOSPC":
    case "EDQUOT":
      return failure("NO_SPACE", { where: path }, error);
    case "ENOENT":
      return failure("FILE_NOT_FOUND", { path }, error);
  }
  return failure("ENGINE_ERROR", { engine: ENGINE, reason: reasonOf(error) }, error);
}
