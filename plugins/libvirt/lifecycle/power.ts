import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import {
  changedMetadata,
  define,
  getLocked,
  getManaged,
  type LibvirtEngine,
  type Managed,
  writeMetadata,
} from "../engine.ts";
import { isLibvirt, libvirtError } from "../errors.ts";
import { getReady } from "../journal/recover.ts";
import { collectLayers } from "../layers/collect.ts";
import { prepareReads } from "../layers/flattened/read-images.ts";
import { requireResumable } from "../layers/graph.ts";
import { requireWritableNow } from "../layers/writable.ts";
import { plugMounts, unplugMounts } from "../mounts/hotplug.ts";
import { putMounts, sweepLaunchers } from "../mounts/servable.ts";
import { ensureNetwork, freePort } from "../network/networks.ts";
import { type Domain, DomainState } from "../rpc/index.ts";
import { copyNewRecords } from "../snapshots/reconcile.ts";
import { readInterfaces, setForwardedPort } from "../xml/domain.ts";
import { putMetadata } from "../xml/metadata.ts";

/** How often a guest is asked whether it has stopped, ms. */
const POLL_INTERVAL_MS = 250;
/** How often a guest that goes on is asked to shut down again: one in early boot does not listen yet. */
const REPEAT_INTERVAL_MS = 10_000;

/** True when the memory of a guest that does not run is kept. */
export async function isSaved(managed: Managed): Promise<boolean> {
  return !(await managed.domain.isActive()) && (await managed.domain.hasManagedSaveImage());
}

/** Rejects, saying `reason`, unless it is stopped with no memory saved: what changes or copies its disk would part the two. */
export async function requireShutOff(managed: Managed, reason: string): Promise<void> {
  if (managed.shutOff === true) {
    return;
  }
  const [{ state }, saved] = await Promise.all([
    managed.domain.getState(),
    managed.domain.hasManagedSaveImage(),
  ]);
  const { name } = managed;
  if (saved) {
    throw failure("INSTANCE_SUSPENDED", { name, reason });
  }
  if (state !== DomainState.SHUTOFF) {
    throw failure("WRONG_STATE", { name, reason, state: "Running" });
  }
}

/** Starts the domain, or resumes what was saved or paused. */
export async function start(engine: LibvirtEngine, id: string, context: Context): Promise<void> {
  const found = await getReady(engine, id, context);
  context.signal.throwIfAborted();
  const { domain } = found;
  const { state } = await domain.getState();
  if (state === DomainState.PAUSED || state === DomainState.PMSUSPENDED) {
    return domain.resume();
  }
  if (state === DomainState.RUNNING) {
    return plugMounts(engine, found, context);
  }
  if (state !== DomainState.SHUTOFF && state !== DomainState.CRASHED) {
    return;
  }
  if (!(await isSaved(found))) {
    await requireWritableNow(found);
    await prepareReads(engine, found, context);
  }
  // That may take long, and others than strata may change the domain meanwhile.
  const managed = await getLocked(engine, id);
  const saved = await isSaved(managed);
  if (saved) {
    await requireResumable(managed);
  } else {
    await requireWritableNow(managed);
  }
  const { document, metadata } = managed;
  context.progress({ phase: "Starting" });
  for (const network of new Set(readInterfaces(document).map(({ network }) => network))) {
    await ensureNetwork(engine, network);
  }
  if (saved) {
    await domain.create();
    return plugMounts(engine, managed, context);
  }
  const { sshPort: oldPort, mounts } = metadata;
  const changed = await putMounts(engine, document, metadata, context);
  if (oldPort !== undefined) {
    const sshPort = await freePort();
    setForwardedPort(document, sshPort);
    putMetadata(document, changedMetadata(metadata, { sshPort }));
  }
  if (changed || oldPort !== undefined) {
    await define(engine, document);
  }
  if (mounts.length > 0) {
    await sweepLaunchers(managed);
  }
  await domain.create();
}

/** Shuts the guest down or cuts its power, and merges what waited for that. */
export async function stop(
  engine: LibvirtEngine,
  id: string,
  options: { readonly grace: number } | "force",
  context: Context,
): Promise<void> {
  const managed = await getLocked(engine, id);
  const { domain, name } = managed;
  if (await isSaved(managed)) {
    if (options !== "force") {
      throw failure("INSTANCE_SUSPENDED", { name, reason: "A suspended instance cannot be shut down" });
    }
    return domain.managedSaveRemove();
  }
  if (await domain.isActive()) {
    // The domain was started after its launch had died, and may have been written: it is not a leftover any more.
    if (managed.metadata.operation?.kind === "create") {
      await writeMetadata(managed, { operation: null });
    }
    context.progress({ phase: "Stopping" });
    if (options === "force") {
      await tolerate(domain.destroy());
    } else {
      await shutDown(name, domain, options.grace, context.signal);
    }
  }
  // What was deleted while it ran can be merged now. It has stopped whatever comes of that.
  try {
    await getReady(engine, id, context);
    await collectLayers(engine, id, context);
  } catch (error) {
    if (context.signal.aborted) {
      throw error;
    }
    const { code, message } = libvirtError(error);
    // What libvirt's own tools record meanwhile must not be known to libvirt alone.
    if (code !== "FOLDER_MISSING") {
      await getLocked(engine, id)
        .then(copyNewRecords)
        .catch(() => {});
    }
    engine.log.warn(`layers of "${name}" are left to be brought together: ${message}`);
  }
}

/** Cuts the power, whoever holds the instance: what others do to it must bear a guest that dies at any time. */
export async function cut(engine: LibvirtEngine, id: string): Promise<void> {
  const { domain } = await getManaged(engine, id);
  if (await domain.isActive()) {
    await tolerate(domain.destroy());
  }
}

/** The domain has stopped meanwhile: what was asked for is so. */
async function tolerate(work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!isLibvirt(error, "OPERATION_INVALID")) {
      throw error;
    }
  });
}

/**
 * A QEMU that dies over a question gives it no answer, and libvirt takes seconds to tell that the domain has
 * stopped. Where it goes on all the same, the next question comes to no more.
 */
function unheard(error: unknown): { readonly error: unknown } {
  if (isLibvirt(error, "SYSTEM_ERROR", "INTERNAL_ERROR", "OPERATION_FAILED")) {
    return { error };
  }
  throw error;
}

async function shutDown(name: string, domain: Domain, grace: number, signal: AbortSignal): Promise<void> {
  const begin = Date.now();
  let asked = Number.NEGATIVE_INFINITY;
  let refused: { readonly error: unknown } | undefined;
  while (await domain.isActive()) {
    const now = Date.now();
    if (now - begin > grace) {
      throw failure("TIMEOUT", {
        seconds: Math.round(grace / 1000),
        what: `"${name}" did not shut down; \`strata stop --force ${name}\` cuts its power`,
      });
    }
    if (now - asked > REPEAT_INTERVAL_MS) {
      if (refused !== undefined) {
        throw refused.error;
      }
      refused = await tolerate(domain.shutdown()).then(() => undefined, unheard);
      asked = now;
    }
    await delay(POLL_INTERVAL_MS, undefined, { signal });
  }
}

/** Saves the memory of a running guest and stops it. */
export async function suspend(engine: LibvirtEngine, id: string, context: Context): Promise<void> {
  const managed = await getReady(engine, id, context);
  if (await isSaved(managed)) {
    return;
  }
  if (!(await managed.domain.isActive())) {
    throw failure("WRONG_STATE", {
      name: managed.name,
      reason: "Only running instances can be suspended",
      state: "Stopped",
    });
  }
  context.progress({ phase: "Suspending" });
  await unplugMounts(managed);
  try {
    await managed.domain.managedSave();
  } catch (error) {
    await plugMounts(engine, managed, context);
    throw error;
  }
}
