import { rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Context, Lock } from "../../../lib/engine/contract.ts";
import { asStrataError, failure, isStrataError, type StrataError } from "../../../lib/errors.ts";
import { ASKED, toInstance } from "../domain/view.ts";
import {
  findDomain,
  getManaged,
  type LibvirtEngine,
  type LockState,
  lockFolder,
  type Managed,
  readManaged,
} from "../engine.ts";
import { isLibvirt, libvirtError } from "../errors.ts";
import { readJournal } from "../journal/journal.ts";
import { finishInterrupted, isPending } from "../journal/recover.ts";
import { removePartials } from "../layers/flattened/flattened.ts";
import { leaseReader } from "../network/networks.ts";
import { DomainState, DomainXmlFlags } from "../rpc/index.ts";
import { writeDefinitionCopy } from "../snapshots/record-copies.ts";
import { isGone, makePrivateFolder } from "../storage/pool.ts";
import { readDisk } from "../xml/disks.ts";
import { awaitInflight, markEnded } from "./await-inflight.ts";

/**
 * Locks the instance and, unless the caller wants to do without, finishes what an operation that died has left half
 * done. That this is refused is no reason to refuse the lock: whoever only stops or removes the instance needs none
 * of it, and whoever changes layers is refused then (`getReady`).
 */
export async function lockInstance(
  engine: LibvirtEngine,
  { name, id: wanted }: { readonly name: string; readonly id?: string },
  { wait, finish = true }: { readonly wait: number; readonly finish?: boolean },
  { signal }: Context,
): Promise<Lock> {
  const managed =
    wanted === undefined ? await getNamed(engine, name) : await getManaged(engine, wanted, name);
  const { domain, metadata } = managed;
  const id = domain.uuid;
  engine.names.set(id, name);
  const folder = await findFolder(engine, managed, finish);
  const file = await lockFolder(metadata.folder, { name, wait, signal });
  let released: Promise<void> | undefined;
  // Once only: the descriptor's number may be another file's by the second time.
  const release = () => {
    released ??= (async () => {
      engine.lockStates.delete(id);
      if (lock !== undefined) {
        engine.locks.delete(lock);
      }
      try {
        if (folder === "borrowed") {
          await giveBack(metadata.folder);
        } else if (lockState.changed) {
          await copyDefinition(engine, id, metadata.folder);
        }
        await markEnded(file);
      } finally {
        await file[Symbol.asyncDispose]();
      }
    })();
    return released;
  };
  let lock: Lock | undefined;
  const lockState: LockState = {
    lock: file,
    changed: false,
    ...(folder === "borrowed" ? { refused: folderMissing(managed) } : {}),
  };
  engine.lockStates.set(id, lockState);
  try {
    await awaitInflight(engine, id, file);
    let read = await getManaged(engine, id, name);
    const unfinished = finish && (await isPending(read));
    const deleted = unfinished ? await finishFirst(engine, lockState, read, signal) : undefined;
    // What was finished may have been its removal.
    if (unfinished) {
      read = await getManaged(engine, id, name);
    }
    await removePartials(metadata.folder);
    const seen: { state?: number; saved?: boolean } = {};
    const instance = await toInstance(read, leaseReader(engine), {
      stateOf: async (of) => (seen.state = await ASKED.stateOf(of)),
      isSaved: async (of) => (seen.saved = await ASKED.isSaved(of)),
    });
    lockState.read = { ...read, shutOff: seen.state === DomainState.SHUTOFF && seen.saved === false };
    lock = { instance, ...(deleted === undefined ? {} : { deleted }), [Symbol.asyncDispose]: release };
    engine.locks.add(lock);
    return lock;
  } catch (error) {
    await release();
    throw error;
  }
}

async function getNamed(engine: LibvirtEngine, name: string): Promise<Managed> {
  const domain = await findDomain(engine, name);
  const managed = domain === null ? undefined : await readManaged(domain);
  if (managed === undefined) {
    throw failure("INSTANCE_NOT_FOUND", { name });
  }
  return managed;
}

/**
 * Makes sure that there is a folder to lock. A removal that died has taken it and left the domain; a domain that was
 * adopted and uses its own disk alone needs nothing of it. Else it was removed by others, or what it is on is not
 * mounted: then it is made for the while of the lock, for whoever only stops or removes the instance, and for nobody
 * else.
 */
async function findFolder(
  engine: LibvirtEngine,
  managed: Managed,
  finish: boolean,
): Promise<"own" | "borrowed"> {
  const { metadata, document } = managed;
  const { folder, adopted } = metadata;
  if (!(await isGone(folder))) {
    return "own";
  }
  const needless = isUnfinished(metadata) || readDisk(document) === adopted;
  if (!needless && finish) {
    throw folderMissing(managed);
  }
  const { qemuUser } = await engine.host();
  await makePrivateFolder(dirname(folder), qemuUser);
  await makePrivateFolder(folder, qemuUser);
  return needless ? "own" : "borrowed";
}

function folderMissing({ name, metadata }: Managed): StrataError {
  return failure("FOLDER_MISSING", { name, path: metadata.folder });
}

/** Takes a folder away that was made for the lock alone: the one that comes back must find its place free. */
async function giveBack(folder: string): Promise<void> {
  await rm(join(folder, "lock"), { force: true });
  await rmdir(folder).catch(() => {});
}

/** Resolves to the snapshot whose deletion was under way and is finished, if any was. */
async function finishFirst(
  engine: LibvirtEngine,
  lockState: LockState,
  { domain, metadata }: Managed,
  signal: AbortSignal,
): Promise<string | undefined> {
  const id = domain.uuid;
  try {
    const operation = metadata.operation ?? (await readJournal(metadata.folder))?.operation;
    await finishInterrupted(engine, id, { signal });
    return operation?.kind === "delete" ? operation.name : undefined;
  } catch (error) {
    if (signal.aborted || asStrataError(error).code === "INSTANCE_NOT_FOUND") {
      throw error;
    }
    lockState.refused = libvirtError(error);
    engine.log.debug("what was under way could not be finished", { id, error });
    return undefined;
  }
}

/** Keeps a copy of the definition beside the layers. That it cannot be written takes nothing back. */
export async function copyDefinition(engine: LibvirtEngine, id: string, folder: string): Promise<void> {
  // It went with the instance, which may be a domain of others now.
  if (await isGone(folder)) {
    return;
  }
  try {
    await writeDefinitionCopy(
      folder,
      await engine.connection.domainOfUuid(id).getXml(DomainXmlFlags.INACTIVE),
    );
  } catch (error) {
    if (isLibvirt(error, "NO_DOMAIN")) {
      return;
    }
    engine.log.warn(
      `the copy of the definition in ${folder} was not written: ${libvirtError(error).message}`,
    );
  }
}

/** Operations that make an instance or end it: one that died has perhaps left no folder. */
const LIFECYCLE_KINDS = ["create", "purge", "release"];

/** True for what a launch, a removal or a release that died has left of an instance. */
export function isUnfinished({ operation }: Managed["metadata"]): boolean {
  return operation !== undefined && LIFECYCLE_KINDS.includes(operation.kind);
}

/** Takes away what a launch or a removal that died has left under the name; not while one is at work. */
export async function clearUnfinished(engine: LibvirtEngine, name: string, context: Context): Promise<void> {
  const domain = await findDomain(engine, name);
  const managed = domain === null ? undefined : await readManaged(domain);
  if (managed === undefined || !isUnfinished(managed.metadata)) {
    return;
  }
  const id = managed.domain.uuid;
  await using _lock = await lockInstance(engine, { name, id }, { wait: 0 }, context).catch(
    (error: unknown) => {
      if (isStrataError(error) && (error.code === "INSTANCE_NOT_FOUND" || error.code === "BUSY")) {
        return null;
      }
      throw error;
    },
  );
}
