import { type FileHandle, open } from "node:fs/promises";
import { execa } from "execa";
import { failure } from "../../lib/errors.ts";
import { fileError } from "./errors.ts";

/** A lock on a file, held until disposed of or until every process that has its descriptor is dead. */
export interface FileLock extends AsyncDisposable {
  /**
   * The descriptor that carries the lock. A child that changes files under the lock gets it as one of
   * its own: should we be killed, the lock stays until the child has ended too.
   */
  readonly descriptor: number;
}

/**
 * A descriptor of ours as one of a child's. execa passes any number on, but its types know numbers for
 * the first three descriptors only.
 */
export function inherited(descriptor: number): "inherit" {
  return descriptor as unknown as "inherit";
}

/** Exit status of flock(1) for a lock that was not to be had. */
const TAKEN = 75;

/**
 * Locks `path`, which is made when it is missing, against every other holder on this host. Waits up to
 * `wait` ms and rejects with BUSY after that, naming `name`.
 *
 * Node cannot call flock(2). flock(1) locks the open file that it inherits from us, and the lock lives
 * on with our descriptor when it has ended: nothing is left behind by a process that is killed.
 */
export async function lockFile(
  path: string,
  options: { readonly name: string; readonly wait: number; readonly signal?: AbortSignal },
): Promise<FileLock> {
  const handle = await open(path, "a", 0o600).catch((error: unknown) => {
    throw fileError(error, path);
  });
  try {
    await flock(handle, options);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return { descriptor: handle.fd, [Symbol.asyncDispose]: () => handle.close() };
}

async function flock(
  handle: FileHandle,
  { name, wait, signal }: { readonly name: string; readonly wait: number; readonly signal?: AbortSignal },
): Promise<void> {
  const patience = wait === 0 ? ["--nonblock"] : ["--wait", String(wait / 1000)];
  const result = await execa(
    "flock",
    ["--exclusive", "--conflict-exit-code", String(TAKEN), ...patience, "3"],
    {
      stdio: ["ignore", "ignore", "pipe", inherited(handle.fd)],
      reject: false,
      ...(signal === undefined ? {} : { cancelSignal: signal }),
    },
  );
  if (result.isCanceled) throw failure("CANCELLED", {}, result);
  if (result.exitCode === TAKEN) throw failure("BUSY", { name });
  if (result.code === "ENOENT")
    throw failure("PROGRAM_MISSING", { program: "flock", package: "util-linux" }, result);
  if (result.failed)
    throw failure("PROGRAM_FAILED", { program: "flock", reason: String(result.stderr) }, result);
}
