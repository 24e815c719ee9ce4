import { posix, resolve } from "node:path";
import { failure } from "../errors.ts";

/** Trees of the guest's kernel and runtime, in which nothing can be mounted. */
const KERNEL = ["/dev", "/proc", "/run", "/sys"];
/** Folders that the guest needs; a folder below them can be a target. */
const VITAL = ["/", "/bin", "/boot", "/etc", "/home", "/lib", "/lib64", "/sbin", "/usr", "/var"];

/** Longest target, bytes: Linux's limit for a path. */
const LONGEST = 4095;

/** The home of a guest's user, by the convention of all distributions. */
export function homeOf(username: string): string {
  return username === "root" ? "/root" : `/home/${username}`;
}

/**
 * The absolute path in the guest of a target: relative ones are below the user's home, and the default is the
 * name of the source's folder in it. Throws INVALID_VALUE for a place that cannot be mounted over.
 */
export function resolveTarget(target: string | undefined, source: string, username: string): string {
  const given = target ?? posix.basename(resolve(source));
  const refuse = (reason: string) => failure("INVALID_VALUE", { what: "the target", value: given, reason });
  const fromHome = given.replace(/^~(\/|$)/, "");
  if (username === "" && !fromHome.startsWith("/")) {
    throw refuse("must be an absolute path, because the instance's user is not known");
  }
  const home = homeOf(username);
  const path = posix.resolve(home, fromHome);
  if (/[\u0000-\u001f\u007f]/.test(given)) {
    throw refuse("must not contain control characters");
  }
  if (Buffer.byteLength(path) > LONGEST) {
    throw refuse(`must be at most ${LONGEST} bytes`);
  }
  if (given === "") {
    throw refuse("must not be empty; give NAME:TARGET");
  }
  if (KERNEL.some((tree) => path === tree || path.startsWith(`${tree}/`))) {
    throw refuse(`must not be in ${KERNEL.join(", ")}, which belong to the guest's system`);
  }
  if (VITAL.includes(path) || path === home) {
    throw refuse("must not hide a folder that the guest needs");
  }
  return path;
}
