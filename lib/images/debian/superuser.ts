import { failure } from "../../errors.ts";
import { run } from "../../util/programs.ts";

/** Runs a program as root, with its package for the hint; resolves to its standard output. */
export type AsRoot = (program: string, args: readonly string[], packageName?: string) => Promise<string>;

/**
 * A program and everything that it starts run in their own namespaces: killing the program ends them all and
 * removes their mounts.
 */
const NAMESPACES = ["--mount", "--pid", "--fork", "--kill-child"];
/** An ordinary user is root in a user namespace with the subordinate ids from /etc/subuid. */
const USER_NAMESPACE = ["--user", "--map-auto", "--map-root-user"];

/**
 * How this process can become root for a build: it is root, or it may create a user namespace. Rejects with
 * PERMISSION_DENIED if neither is the case.
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
