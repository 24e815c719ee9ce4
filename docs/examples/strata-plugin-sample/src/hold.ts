import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Context, Hold } from "strata-vm/backend";
import { failure } from "strata-vm/errors";
import type { Store } from "./store.ts";

/** Between two attempts, ms. */
const PAUSE = 20;

/** The instances that this process holds. */
export type Held = Set<string>;

/**
 * A hold is an abstract Unix socket of Linux: it has one owner on the whole host, and the kernel frees it
 * when the owner dies, however it dies.
 */
export async function hold(
  store: Store,
  held: Held,
  id: string,
  { wait }: { readonly wait: number },
  { signal }: Context,
): Promise<Hold> {
  const { name } = await store.get(id);
  const end = Date.now() + wait;
  let lock = await listen(`\0strata-sample-${id}`);
  while (lock === undefined) {
    if (signal.aborted) throw failure("CANCELLED", {}, signal.reason);
    if (Date.now() >= end) throw failure("BUSY", { name });
    await delay(PAUSE, undefined, { signal }).catch(() => {});
    lock = await listen(`\0strata-sample-${id}`);
  }
  const server = lock;
  const release = async () => {
    held.delete(id);
    if (server.listening) await once(server.close(), "close");
  };
  held.add(id);
  try {
    // Somebody may have removed it while we waited. An engine with work of several steps would finish or
    // undo here what the last holder has left half done; in this one, a change is a single rename.
    await store.get(id);
  } catch (error) {
    await release();
    throw error;
  }
  return { id, [Symbol.asyncDispose]: release };
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
