import { type ErrorDetails, failure, isStrataError, type StrataError } from "../../lib/errors.ts";
import { CallTimeoutError, ConnectionLostError, LibvirtError } from "./rpc/index.ts";

/** The engine's name in messages. */
export const ENGINE = "libvirt";

/** Maps what libvirt or its connection reported; `details` go into the error's own. */
export function libvirtError(error: unknown, details: ErrorDetails = {}): StrataError {
  if (isStrataError(error)) {
    return error;
  }
  if (error instanceof ConnectionLostError) {
    return failure("ENGINE_LOST", { ...details, engine: ENGINE, reason: error.message }, error);
  }
  if (error instanceof CallTimeoutError) {
    return failure(
      "TIMEOUT",
      { ...details, seconds: error.limit / 1000, what: "libvirt does not answer" },
      error,
    );
  }
  if (error instanceof Error && error.name === "AbortError") {
    return failure("CANCELLED", details, error);
  }
  if (!(error instanceof LibvirtError)) {
    const reason = error instanceof Error ? error.message : String(error);
    return failure("ENGINE_ERROR", { ...details, engine: ENGINE, reason }, error);
  }
  const reason = error.message;
  switch (error.codeName) {
    case "NO_DOMAIN":
      if (details.name !== undefined) {
        return failure("INSTANCE_NOT_FOUND", details, error);
      }
      break;
    case "ACCESS_DENIED":
    case "AUTH_FAILED":
    case "AUTH_CANCELLED":
    case "AUTH_UNAVAILABLE":
    case "OPERATION_DENIED":
      return failure("PERMISSION_DENIED", { ...details, reason }, error);
    case "OPERATION_TIMEOUT":
    case "RESOURCE_BUSY":
      return failure("BUSY", { name: "the host", ...details, reason }, error);
    case "NO_CONNECT":
    case "NO_SERVER":
      return failure("ENGINE_UNAVAILABLE", { ...details, engine: ENGINE, reason }, error);
  }
  const port = /[Cc]ould not set up host forwarding rule '[^']*:(\d+)-/.exec(reason)?.[1];
  if (port !== undefined) {
    return failure("PORT_TAKEN", { ...details, port }, error);
  }
  if (/while checkpoint exists/.test(reason)) {
    return failure(
      "CHECKPOINTS_IN_WAY",
      { name: "the domain", checkpoints: "of a backup tool", ...details },
      error,
    );
  }
  if (/No space left on device/.test(reason)) {
    return failure("NO_SPACE", { where: "the storage pool", ...details }, error);
  }
  return failure("ENGINE_ERROR", { ...details, engine: ENGINE, reason }, error);
}

/** True when libvirt answered with one of these codes. */
export function isLibvirt(error: unknown, ...codeNames: readonly string[]): boolean {
  return error instanceof LibvirtError && codeNames.includes(error.codeName);
}

/** True for the file system's word that there is no such file. */
export function isAbsent(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** Runs a piece that talks to libvirt and maps what it rejects with. */
export async function mapped<T>(work: () => Promise<T>, details: ErrorDetails = {}): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw libvirtError(error, details);
  }
}

/** Maps an error of the file system at `path`. */
export function fileError(error: unknown, path: string): StrataError {
  if (isStrataError(error)) {
    return error;
  }
  const code = error instanceof Error && "code" in error ? error.code : undefined;
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
  return failure(
    "ENGINE_ERROR",
    { engine: ENGINE, reason: error instanceof Error ? error.message : String(error) },
    error,
  );
}
