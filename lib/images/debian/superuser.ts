import { failure } from "../../errors.ts";
import { run } from "../../util/programs.ts";

/** Runs a program as root, with its package for the hint; resolves to its standard output. */
export type AsRoot = (program: string, args: readonly string[], packageName?: string) => Promise<string>;

/**
 * A program and all that it starts live in namespaces of their own: killing the one ends them all, and
 * what they mounted is gone with them.
 */
const NAMESPACES = ["--mount", "--pid", "--fork", "--kill-child"];
/** An ordinary user is root in a user namespace over the further ids that /etc/subuid gives him. */
const USER_NAMESPACE = ["--user", "--map-auto", "--map-root-user"];

/**
 * How this process comes to be root for a build: it is, or it may have a user namespace. Rejects with
 * PERMISSION_DENIED where neither is so.
 */
export async function becomeRoot(signal: AbortSignal): Promise<AsRoot> {
  const namespaces = process.getuid?.() === 0 ? NAMESPACES : [...USER_NAMESPACE, ...NAMESPACES];
  const asRoot: AsRoot = (program, args, packageName) =>
    run("unshare", [...namespaces, "--", program, ...args], {
      signal,
      killSignal: "SIGKILL",
      package: packageName ?? "util-linux",
    });
  try {
    await asRoot("true", []);
  } catch (error) {
    if (signal.aborted) {
      throw error;
    }
    throw failure(
      "PERMISSION_DENIED",
      {
        reason:
          "an image must be built by root, or by a user with subordinate ids (the package uidmap, and a line for the user in /etc/subuid and /etc/subgid)",
      },
      error,
    );
  }
  return asRoot;
}
