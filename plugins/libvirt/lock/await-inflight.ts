import { fstat, ftruncate } from "node:fs";
import { promisify } from "node:util";
import type { LibvirtEngine } from "../engine.ts";
import { isLibvirt, libvirtError } from "../errors.ts";
import { MetadataType, ModificationImpact } from "../rpc/index.ts";
import type { FileLock } from "./lock.ts";

/** No element of this namespace is ever there. */
const UNUSED_NAMESPACE = "urn:strata:unused";

/**
 * Makes sure that nothing comes any more of the holder before us, if it died. Its lock ended with it, but
 * a call that it had sent is carried out all the same, perhaps after we have looked. From here on a
 * holder that dies leaves its mark on the lock's file, until `markEnded`.
 */
export async function awaitInflight(engine: LibvirtEngine, id: string, lock: FileLock): Promise<void> {
  const { size } = await promisify(fstat)(lock.descriptor);
  // A size takes no room, so the mark can be made on a full disk.
  await promisify(ftruncate)(lock.descriptor, 1);
  if (size > 0) {
    await awaitQueued(engine, id);
  }
}

/** Says that the holder has ended of its own will. */
export async function markEnded(lock: FileLock): Promise<void> {
  await promisify(ftruncate)(lock.descriptor, 0);
}

/**
 * Waits until the daemon has taken up all calls that were sent before, over whichever connection: after an
 * answer and another it has read all sockets since, and its queue is worked off in order.
 */
export async function awaitReceived({ connection }: Pick<LibvirtEngine, "connection">): Promise<void> {
  await connection.libVersion();
  await connection.libVersion();
}

/**
 * Waits, where a connection broke off, for what was sent over it: the daemon carries a call out all the same, perhaps
 * after a look at what has become of it. To be called before such a look.
 */
export async function awaitSent(engine: LibvirtEngine, id: string, error: unknown): Promise<void> {
  if (libvirtError(error).code === "ENGINE_LOST") {
    await awaitQueued(engine, id);
  }
}

/**
 * Calls of the dead are in the daemon's sockets at the latest when they die. Once it has taken them up, a
 * change of the domain, which this is though it changes nothing, waits for the change that is under way.
 */
async function awaitQueued(engine: LibvirtEngine, id: string): Promise<void> {
  engine.log.debug("waiting for calls that were sent before", { id });
  await awaitReceived(engine);
  const domain = engine.connection.domainOfUuid(id);
  for (let round = 0; round < 2; round += 1) {
    await domain
      .setMetadata(MetadataType.ELEMENT, null, null, UNUSED_NAMESPACE, ModificationImpact.CONFIG)
      .catch((error: unknown) => {
        if (!isLibvirt(error, "NO_DOMAIN", "NO_DOMAIN_METADATA")) {
          throw error;
        }
      });
  }
}
