import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Context, Instance, Lock } from "strata-vm/engine";
import { failure } from "strata-vm/errors";
import type { Store, Stored } from "./store.ts";

/** Between two attempts, ms. */
const PAUSE = 20;

/** The locks that this process holds. */
export type Locks = WeakSet<Lock>;

/** What is stored of the instance that was locked; rejects where the lock is not held any more. */
export async function lockedInstance(store: Store, locks: Locks, lock: Lock): Promise<Stored> {
  const { id, name } = lock.instance;
  if (!locks.has(lock)) {
    throw failure("INTERNAL", { reason: `"${name}" is not locked` });
  }
  return store.get(id);
}

/**
 * A lock is an abstract Unix socket of Linux: it has one owner on the whole host, and the kernel frees it
 * when the owner dies, however it dies.
 */
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
  const { id } = found;
  const end = Date.now() + wait;
  let socket = await listen(`\0strata-sample-${id}`);
  while (socket === undefined) {
    if (signal.aborted) {
      throw failure("CANCELLED", {}, signal.reason);
    }
    if (Date.now() >= end) {
      throw failure("BUSY", { name });
    }
    await delay(PAUSE, undefined, { signal }).catch(() => {});
    socket = await listen(`\0strata-sample-${id}`);
  }
  const server = socket;
  const release = async () => {
    locks.delete(lock);
    if (server.listening) {
      await once(server.close(), "close");
    }
  };
  let lock: Lock;
  try {
    // Somebody may have removed it while we waited. An engine with work of several steps would finish or
    // undo here what the last holder has left half done; in this one, a change is a single rename.
    lock = { instance: view(await store.get(id)), [Symbol.asyncDispose]: release };
  } catch (error) {
    await once(server.close(), "close");
    throw error;
  }
  locks.add(lock);
  return lock;
}

/** Takes the socket; undefined when somebody has it. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(undefined) : reject(error),
    );
    server.listen(path, () => resolve(server.unref()));
  });
}
