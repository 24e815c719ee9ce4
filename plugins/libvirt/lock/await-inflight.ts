import { fstat, ftruncate } from "node:fs";
import { promisify } from "node:util";
import { type LibvirtEngine, readOwnMetadata } from "../engine.ts";
import { isLibvirt, libvirtError } from "../errors.ts";
import { type Domain, JobOperation, JobType, MetadataType, ModificationImpact } from "../rpc/index.ts";
import type { FileLock } from "./lock.ts";

/** A namespace without an element: removing that element changes nothing. */
const UNUSED_NAMESPACE = "urn:strata:unused";

/**
 * Waits for calls in flight if the previous lock holder died. Its lock ended with it, but the daemon still
 * carries out a call that it had sent, perhaps after we have read the domain. From here on, the lock's file
 * has a size, so that the next process knows if we die, until `markEnded`.
 */
export async function awaitInflight(engine: LibvirtEngine, id: string, lock: FileLock): Promise<void> {
  const { size } = await promisify(fstat)(lock.descriptor);
  // Setting the size takes no space, so it works on a full disk.
  await promisify(ftruncate)(lock.descriptor, 1);
  if (size > 0) {
    await awaitQueued(engine, id);
  }
}

/** Records that the lock's holder ended normally. */
export async function markEnded(lock: FileLock): Promise<void> {
  await promisify(ftruncate)(lock.descriptor, 0);
}

/**
 * Waits until the daemon has received all calls that were sent before, over any connection: between two
 * answers it has read all its sockets, and it works through its queue in order.
 */
export async function awaitReceived({ connection }: Pick<LibvirtEngine, "connection">): Promise<void> {
  await connection.libVersion();
  await connection.libVersion();
}

/**
 * Waits, if the connection was lost, for the calls that were sent over it: the daemon carries them out
 * anyway. Call this before reading what became of them.
 */
export async function awaitSent(engine: LibvirtEngine, id: string, error: unknown): Promise<void> {
  if (libvirtError(error).code === "ENGINE_LOST") {
    await awaitQueued(engine, id);
  }
}

/**
 * A snapshot with memory may take minutes, and libvirt lets other changes wait for 30 s only. Whoever began it is gone:
 * it is called off, if it is strata's and has not ended.
 */
async function endSave(domain: Domain): Promise<void> {
  const own = await readOwnMetadata(domain).catch(() => undefined);
  if (own?.snapshot?.consistency !== "memory") {
    return;
  }
  const job = await domain.getJobStats();
  if (job.type !== JobType.NONE && job.params.operation === JobOperation.SNAPSHOT) {
    await domain.abortJob().catch((error: unknown) => {
      if (!isLibvirt(error, "OPERATION_INVALID")) {
        throw error;
      }
    });
  }
}

/**
 * The calls of a dead process are in the daemon's sockets by the time it dies. Once the daemon has received
 * them, a change of the domain (this one changes nothing) waits for the change that is in progress.
 */
async function awaitQueued(engine: LibvirtEngine, id: string): Promise<void> {
  engine.log.debug("waiting for calls in flight", { id });
  await awaitReceived(engine);
  const domain = engine.connection.domainOfUuid(id);
  await endSave(domain);
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
