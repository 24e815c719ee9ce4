import { LibvirtError } from "./errors.ts";

/** True when libvirt reported one of these codes. */
export function isCode(error: unknown, ...codeNames: readonly string[]): error is LibvirtError {
  return error instanceof LibvirtError && codeNames.includes(error.codeName);
}
