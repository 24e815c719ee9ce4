import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { ENGINE, isLibvirt } from "../errors.ts";
import { type Domain, type DomainSnapshot, JobType, SnapshotCreateFlags } from "../rpc/index.ts";
import { checkSpace } from "../storage/pool.ts";
import { writtenDisks } from "../xml/disks.ts";
import { readResources } from "../xml/resources.ts";

/** QEMU copies the memory while the guest runs, and stops it for the last of it. strata creates the overlays. */
const TAKE = SnapshotCreateFlags.LIVE | SnapshotCreateFlags.ATOMIC | SnapshotCreateFlags.REUSE_EXT;

/** How often a save is looked at, ms. */
const POLL_INTERVAL_MS = 200;
/** How long a guest may write faster than its memory is saved, ms. After that it is paused until the save ends. */
const LIVE_LIMIT_MS = 30_000;

/** Rejects unless the memory can be saved with the disks, and there is room for it. */
export async function requireSavable({ name, document, metadata }: Managed): Promise<void> {
  const left = writtenDisks(document, metadata).find((disk) => disk.left !== undefined);
  if (left !== undefined) {
    throw failure("UNSUPPORTED", {
      what: `a snapshot of "${name}" with its memory`,
      engine: ENGINE,
      reason: `its disk ${left.target} is left out of snapshots, and memory must not meet a disk that was written since`,
    });
  }
  const { memory } = readResources(document);
  // The devices have some, too.
  await checkSpace(metadata.folder, memory + memory / 4n);
}

/**
 * Has libvirt take a snapshot with the memory, which the document names. The guest goes on meanwhile, unless it writes
 * so much that the save would not end, or be larger than its memory. A call that is cancelled changes nothing.
 */
export async function saveMemory(
  { domain, document }: Pick<Managed, "domain" | "document">,
  snapshot: string,
  { signal, progress }: Context,
): Promise<DomainSnapshot> {
  progress({ phase: "Saving memory" });
  const limit = readResources(document).memory;
  const work = domain.createSnapshot(snapshot, TAKE);
  const ended = new AbortController();
  const watched = watch(domain, { limit, signal, progress }, ended.signal);
  try {
    return await work;
  } finally {
    ended.abort();
    await watched;
  }
}

/** Looks after a save until it has ended. */
async function watch(
  domain: Domain,
  { limit, signal, progress }: Pick<Context, "signal" | "progress"> & { readonly limit: bigint },
  ended: AbortSignal,
): Promise<void> {
  const begin = Date.now();
  let paused = false;
  while (!ended.aborted) {
    const job = await domain.getJobInfo().catch(() => undefined);
    if (job !== undefined && job.type !== JobType.NONE && !ended.aborted) {
      progress({ phase: "Saving memory", done: job.memProcessed, total: limit });
      if (signal.aborted) {
        await domain.abortJob().catch(ignore);
      } else if (!paused && (Date.now() - begin > LIVE_LIMIT_MS || job.memProcessed > limit)) {
        paused = true;
        await domain.suspend().catch(ignore);
      }
    }
    await delay(POLL_INTERVAL_MS, undefined, { signal: ended }).catch(() => {});
  }
}

/** The save may have ended meanwhile, and with it what this was for. */
function ignore(error: unknown): void {
  if (!isLibvirt(error, "OPERATION_INVALID", "OPERATION_FAILED")) {
    throw error;
  }
}
