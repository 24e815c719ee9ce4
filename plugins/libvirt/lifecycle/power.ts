import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { quote } from "../../../lib/util/quote.ts";
import { CONSOLE_LOG } from "../console/log-file.ts";
import { hasSavedMemory } from "../domain/view.ts";
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
import { leavePinned } from "../layers/hide.ts";
import { requireWritableNow } from "../layers/writable.ts";
import { dropStale, goOn, type Resume, resumeFromMemory } from "../memory/resume.ts";
import { plugMounts, unplugMounts } from "../mounts/hotplug.ts";
import { putMounts, sweepLaunchers } from "../mounts/servable.ts";
import { ensureNetworks, freePort } from "../network/networks.ts";
import { type Domain, DomainState, LibvirtError } from "../rpc/index.ts";
import { letGoOn } from "../snapshots/live-guest.ts";
import { copyNewRecords } from "../snapshots/reconcile.ts";
import { logConsole, readConsoleLog, unlogConsole } from "../xml/console.ts";
import { setForwardedPort } from "../xml/domain.ts";
import { putMetadata } from "../xml/metadata.ts";
import { requireMedia } from "./missing-media.ts";

/** How often the state of a stopping guest is read, ms. */
const POLL_INTERVAL_MS = 250;
/**
 * How often a guest that keeps running is asked again to shut down, ms: one in early boot does not listen
 * yet.
 */
const REPEAT_INTERVAL_MS = 10_000;

/** True if there is memory that the next start of a guest that is not running would load. */
export async function isSaved(managed: Managed): Promise<boolean> {
  return !(await managed.domain.isActive()) && (await hasSavedMemory(managed));
}

/**
 * Rejects with `reason` unless the instance is shut off without saved memory: otherwise, changing or copying
 * its disk would make memory and disk inconsistent.
 */
export async function requireShutOff(managed: Managed, reason: string): Promise<void> {
  if (managed.shutOff === true) {
    return;
  }
  const [{ state }, saved] = await Promise.all([managed.domain.getState(), hasSavedMemory(managed)]);
  const { name } = managed;
  if (saved) {
    throw failure("INSTANCE_SUSPENDED", { name, reason });
  }
  if (state !== DomainState.SHUTOFF) {
    throw failure("WRONG_STATE", { name, reason, state: "Running" });
  }
}

/** Starts the domain, or resumes it if it is saved or paused. */
export async function start(engine: LibvirtEngine, id: string, context: Context): Promise<void> {
  const found = await getReady(engine, id, context);
  context.signal.throwIfAborted();
  const { domain } = found;
  const { state } = await domain.getState();
  if (state === DomainState.PAUSED || state === DomainState.PMSUSPENDED) {
    if (found.metadata.resume === undefined) {
      return domain.resume();
    }
    // A start has loaded its memory, and died.
    await goOn(found);
    return plugMounts(engine, found, context);
  }
  if (state === DomainState.RUNNING) {
    return plugMounts(engine, found, context);
  }
  if (state !== DomainState.SHUTOFF && state !== DomainState.CRASHED) {
    return;
  }
  const { resume } = found.metadata;
  if (resume !== undefined) {
    return startAt(engine, found, resume, context);
  }
  if (!(await isSaved(found))) {
    await requireWritableNow(found);
    await prepareReads(engine, await leavePinned(engine, found), context);
  }
  // Preparing may take long, and other tools may have changed the domain meanwhile.
  const managed = await getLocked(engine, id);
  const saved = await isSaved(managed);
  if (saved) {
    await requireResumable(managed);
  } else {
    await requireWritableNow(managed);
  }
  context.progress({ phase: "Starting" });
  await ensureNetworks(engine, managed.document);
  if (saved) {
    await domain.create();
    return plugMounts(engine, managed, context);
  }
  await bootAnew(engine, managed, context);
}

/** Starts a guest where a snapshot with memory was taken, or boots it where its disks do not fit any more. */
async function startAt(
  engine: LibvirtEngine,
  managed: Managed,
  resume: Resume,
  context: Context,
): Promise<void> {
  await requireWritableNow(managed);
  await requireMedia(managed);
  if (await resumeFromMemory(engine, managed, resume, context)) {
    return plugMounts(engine, managed, context);
  }
  return start(engine, managed.domain.uuid, context);
}

async function bootAnew(engine: LibvirtEngine, managed: Managed, context: Context): Promise<void> {
  const { document, metadata } = managed;
  const { sshPort: oldPort, mounts } = metadata;
  const changed = await putMounts(engine, document, metadata, context);
  if (oldPort !== undefined) {
    const sshPort = await freePort();
    setForwardedPort(document, sshPort);
    putMetadata(document, changedMetadata(metadata, { sshPort }));
  }
  // Instances of earlier versions have no log yet. What was adopted stays as its owner has defined it.
  const logged = metadata.adopted === undefined && logConsole(document, join(metadata.folder, CONSOLE_LOG));
  if (changed || logged || oldPort !== undefined) {
    await define(engine, document);
  }
  if (mounts.length > 0) {
    await sweepLaunchers(managed);
  }
  await requireMedia(managed);
  await boot(engine, managed, context);
}

/** Starts the domain, without a log of its console where libvirt cannot write one: the guest is worth more. */
async function boot(engine: LibvirtEngine, managed: Managed, context: Context): Promise<void> {
  const { domain, name, document, metadata } = managed;
  try {
    await domain.create();
  } catch (error) {
    const path = readConsoleLog(document);
    const unwritable =
      metadata.adopted === undefined &&
      path !== undefined &&
      error instanceof LibvirtError &&
      error.message.includes(path);
    if (!unwritable) {
      throw error;
    }
    context.warn?.(`the console of "${name}" is not logged: ${error.message}`);
    unlogConsole(document);
    await define(engine, document);
    await domain.create();
  }
}

/** Shuts the guest down or cuts its power, then merges the layers that waited for that. */
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
    return dropSaved(managed);
  }
  if (await domain.isActive()) {
    await dropStale(managed);
    // The domain was started after its launch was interrupted, and may have been written to. It is not a
    // leftover any more.
    if (managed.metadata.operation?.kind === "create") {
      await writeMetadata(managed, { operation: null });
    }
    context.progress({ phase: "Stopping" });
    if (options === "force") {
      await tolerate(domain.destroy());
    } else {
      // A guest that is frozen cannot shut down.
      await letGoOn(managed);
      await shutDown(name, domain, options.grace, context);
    }
  }
  // Layers of snapshots that were deleted while it was running can be merged now. The instance has stopped
  // whether that works or not.
  try {
    await getReady(engine, id, context);
    await collectLayers(engine, id, context);
  } catch (error) {
    if (context.signal.aborted) {
      throw error;
    }
    const { code, message } = libvirtError(error);
    // Snapshots that libvirt's own tools have recorded meanwhile need copies of their records.
    if (code !== "FOLDER_MISSING") {
      await getLocked(engine, id)
        .then(copyNewRecords)
        .catch(() => {});
    }
    engine.log.warn(
      `could not merge or remove layers of "${name}", which a later command tries again: ${message}`,
    );
  }
}

/** Gives up the memory that the next start would load. That of a snapshot stays with the snapshot. */
async function dropSaved(managed: Managed): Promise<void> {
  const { domain, metadata } = managed;
  if (metadata.resume !== undefined) {
    await writeMetadata(managed, { resume: null }, false);
  }
  if (await domain.hasManagedSaveImage()) {
    await domain.managedSaveRemove();
  }
}

/**
 * Cuts the power, with or without the lock: every operation must allow for a guest that dies at any time.
 */
export async function cut(engine: LibvirtEngine, id: string): Promise<void> {
  const { domain } = await getManaged(engine, id);
  if (await domain.isActive()) {
    await tolerate(domain.destroy());
  }
}

/** The domain has stopped meanwhile, as was requested. */
async function tolerate(work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!isLibvirt(error, "OPERATION_INVALID")) {
      throw error;
    }
  });
}

/**
 * A QEMU that dies while it handles a request does not answer, and libvirt takes seconds to notice that the
 * domain has stopped. If the guest keeps running, asking again does no harm.
 */
function unheard(error: unknown): { readonly error: unknown } {
  if (isLibvirt(error, "SYSTEM_ERROR", "INTERNAL_ERROR", "OPERATION_FAILED")) {
    return { error };
  }
  throw error;
}

async function shutDown(
  name: string,
  domain: Domain,
  grace: number,
  { signal, progress }: Context,
): Promise<void> {
  const begin = Date.now();
  progress({ phase: `Waiting for ${name} to shut down`, wait: { since: begin, timeout: grace } });
  let asked = Number.NEGATIVE_INFINITY;
  let refused: { readonly error: unknown } | undefined;
  while (await domain.isActive()) {
    const now = Date.now();
    if (now - begin > grace) {
      throw failure("TIMEOUT", {
        seconds: Math.round(grace / 1000),
        what: `"${name}" did not shut down; \`strata stop --force ${quote(name)}\` cuts its power`,
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

/** Saves the memory of a running guest, and stops it. */
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
