import { spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import { errnoOf, failure, reasonOf } from "../errors.ts";
import { traced } from "./trace.ts";

/** A lock on a file, kept until it is disposed of or until every process with its descriptor has died. */
export interface FileLock extends AsyncDisposable {
  /**
   * The descriptor that carries the lock. A child that changes files under the lock inherits it, so if we are
   * killed, the lock stays until the child has ended too.
   */
  readonly descriptor: number;
}

/** Exit status of flock(1) if the lock is taken. */
const TAKEN = 75;

/** `shared`: excludes only those who do not share it. */
export interface FileLockOptions {
  readonly name: string;
  readonly wait: number;
  readonly shared?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Locks `path`, which is created if it is missing, against every other holder on this host. Waits up to
 * `wait` ms (Infinity: without limit) and then rejects with BUSY, naming `name`; also with CANCELLED, and
 * with Node's own error if the file cannot be opened.
 *
 * Node cannot call flock(2). flock(1) locks the open file that it inherits from us, and the lock stays with
 * our descriptor after flock(1) has ended. A process that is killed leaves nothing behind.
 */
export async function lockFile(path: string, options: FileLockOptions): Promise<FileLock> {
  const handle = await open(path, "a", 0o600);
  try {
    // The umask of the process that created it may have removed the permission to open it again.
    const { mode, uid } = await handle.stat();
    if ((mode & 0o600) !== 0o600 && uid === process.geteuid?.()) {
      await handle.chmod(0o600);
    }
    await flock(handle, options);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return { descriptor: handle.fd, [Symbol.asyncDispose]: () => handle.close() };
}

/** Arguments that tell flock(1) how long to wait, from ms. */
function waitArgs(wait: number): string[] {
  if (wait === 0) {
    return ["--nonblock"];
  }
  return wait === Infinity ? [] : ["--wait", String(wait / 1000)];
}

async function flock(handle: FileHandle, { name, wait, shared, signal }: FileLockOptions): Promise<void> {
  const kind = shared === true ? "--shared" : "--exclusive";
  const args = [kind, "--conflict-exit-code", String(TAKEN), ...waitArgs(wait), "3"];
  // Every command takes a lock, and loading execa would take longer than the rest.
  const child = traced(
    "flock",
    args,
    spawn("flock", args, {
      stdio: ["ignore", "ignore", "ignore", handle.fd],
      ...(signal === undefined ? {} : { signal }),
    }),
  );
  const [code, by] = await (once(child, "exit") as Promise<[number | null, string | null]>).catch(
    (error: unknown) => {
      if (signal?.aborted) {
        throw failure("CANCELLED", {}, error);
      }
      if (errnoOf(error) === "ENOENT") {
        throw failure("PROGRAM_MISSING", { program: "flock", package: "util-linux" }, error);
      }
      throw failure("PROGRAM_FAILED", { program: "flock", reason: reasonOf(error) }, error);
    },
  );
  if (code === TAKEN) {
    throw failure("BUSY", { name });
  }
  if (code !== 0) {
    throw failure("PROGRAM_FAILED", {
      program: "flock",
      reason: by === null ? `exit status ${code}` : `killed by ${by}`,
    });
  }
}
