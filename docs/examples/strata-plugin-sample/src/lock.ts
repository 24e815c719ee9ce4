import { spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import type { Context, Instance, Lock } from "strata-vm/engine";
import { failure } from "./failure.ts";
import type { Store, Stored } from "./store.ts";

/** The locks that this process has given and not released. */
export type Locks = WeakSet<Lock>;

/** What is stored of the instance that was locked; rejects where the lock is not held any more. */
export async function lockedInstance(store: Store, locks: Locks, lock: Lock): Promise<Stored> {
  const { id, name } = lock.instance;
  if (!locks.has(lock)) {
    throw failure("LOCK_REQUIRED", { name });
  }
  return store.get(id);
}

export async function lockInstance(
  store: Store,
  locks: Locks,
  { name, id: wanted }: { readonly name: string; readonly id?: string },
  { wait }: { readonly wait: number },
  { signal }: Context,
  view: (stored: Stored) => Instance,
): Promise<Lock> {
  const found = (await store.all()).find((stored) => stored.name === name);
  if (found === undefined || (wanted !== undefined && found.id !== wanted)) {
    throw failure("INSTANCE_NOT_FOUND", { name });
  }
  const file = await lockFile(store.lockPath(found.id), { name, wait, signal });
  const release = async () => {
    locks.delete(lock);
    await file.close();
  };
  let lock: Lock;
  try {
    // Somebody may have removed it while we waited. An engine with work of several steps would finish or
    // undo here what the last holder has left half done; in this one, a change is a single rename.
    lock = { instance: view(await store.get(found.id)), [Symbol.asyncDispose]: release };
  } catch (error) {
    await file.close();
    throw error;
  }
  locks.add(lock);
  return lock;
}

/** Exit status of flock(1) for a lock that was not to be had. */
const TAKEN = 75;

/**
 * Locks a file, waiting up to `wait` ms, until it is closed. Node cannot call flock(2): flock(1) locks the open file
 * that it inherits from us, and the lock stays with it when flock(1) has ended.
 *
 * It ends when every process that has this open file has closed it or died. So an engine whose children write, such as
 * qemu-img, gives them the descriptor in their `stdio`: if strata is killed, the instance stays locked until they have
 * ended. It holds in containers that share the folder, too, which an abstract socket would not: that is of one
 * network namespace, and any user can take its name.
 */
export async function lockFile(
  path: string,
  { name, wait, signal }: { readonly name: string; readonly wait: number; readonly signal: AbortSignal },
): Promise<FileHandle> {
  const file = await open(path, "a", 0o600);
  try {
    const args = ["--exclusive", "--conflict-exit-code", String(TAKEN), "--wait", String(wait / 1000), "3"];
    const child = spawn("flock", args, { stdio: ["ignore", "ignore", "ignore", file.fd], signal });
    const [code] = await once(child, "exit");
    if (code !== 0) {
      throw code === TAKEN
        ? failure("BUSY", { name })
        : failure("PROGRAM_FAILED", { program: "flock", reason: `exit status ${code}` });
    }
    return file;
  } catch (error) {
    await file.close();
    throw signal.aborted ? failure("CANCELLED", {}, error) : error;
  }
}
