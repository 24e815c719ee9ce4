import { rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Context, Lock } from "../../../lib/engine/contract.ts";
import { asStrataError, failure, isStrataError, type StrataError } from "../../../lib/errors.ts";
import { ASKED, type ReasonedState, toInstance } from "../domain/view.ts";
import {
  findInstance,
  getManaged,
  type LibvirtEngine,
  type LockState,
  lockFolder,
  type Managed,
} from "../engine.ts";
import { isLibvirt, libvirtError } from "../errors.ts";
import { readJournal } from "../journal/journal.ts";
import { finishInterrupted, isPending } from "../journal/recover.ts";
import { removePartials } from "../layers/flattened/flattened.ts";
import { leaseReader } from "../network/networks.ts";
import { DomainState, DomainXmlFlags } from "../rpc/index.ts";
import { writeDefinitionCopy } from "../snapshots/record-copies.ts";
import { isGone, makePrivateFolder } from "../storage/pool.ts";
import { ownLayers } from "../xml/disks.ts";
import { awaitInflight, markEnded } from "./await-inflight.ts";

/**
 * Locks the instance and, unless `finish` is false, finishes an interrupted operation. If that fails, the
 * lock is still granted: stopping or removing the instance works without it, and changes of layers are
 * refused by `getReady`.
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
  // Only once: by the second time, the descriptor's number may belong to another file.
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
    // The interrupted operation may have been its removal.
    if (unfinished) {
      read = await getManaged(engine, id, name);
    }
    await removePartials(metadata.folder);
    const seen: { state?: ReasonedState; saved?: boolean } = {};
    const instance = await toInstance(read, leaseReader(engine), {
      stateOf: async (of) => (seen.state = await ASKED.stateOf(of)),
      isSaved: async (of) => (seen.saved = await ASKED.isSaved(of)),
    });
    lockState.read = { ...read, shutOff: seen.state?.state === DomainState.SHUTOFF && seen.saved === false };
    lock = { instance, ...(deleted === undefined ? {} : { deleted }), [Symbol.asyncDispose]: release };
    engine.locks.add(lock);
    return lock;
  } catch (error) {
    await release();
    throw error;
  }
}

async function getNamed(engine: LibvirtEngine, name: string): Promise<Managed> {
  const managed = await findInstance(engine, name);
  if (managed === undefined) {
    throw failure("INSTANCE_NOT_FOUND", { name });
  }
  return managed;
}

/**
 * Makes sure that there is a folder to lock. An interrupted removal has removed it and left the domain; an
 * adopted domain that uses only its own disk does not need it. Otherwise it was removed by someone else, or
 * its file system is not mounted. Then the folder is created for the duration of the lock, and only for
 * stopping or removing the instance.
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
  const ours = ownLayers(document, folder).some((path) => path !== adopted);
  const needless = isUnfinished(metadata) || (adopted !== undefined && !ours);
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

/** Removes a folder that was created only for the lock, so that the real one can come back. */
async function giveBack(folder: string): Promise<void> {
  await rm(join(folder, "lock"), { force: true });
  await rmdir(folder).catch(() => {});
}

/** Resolves to the name of the snapshot whose interrupted deletion was finished, if there was one. */
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
    engine.log.debug("an interrupted operation could not be finished", { id, error });
    return undefined;
  }
}

/** Writes a copy of the definition beside the layers. Failing to do so does not undo anything. */
export async function copyDefinition(engine: LibvirtEngine, id: string, folder: string): Promise<void> {
  // The folder was removed with the instance, and the domain may belong to others now.
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
      `could not write the copy of the definition in ${folder}: ${libvirtError(error).message}`,
    );
  }
}

/** Operations that begin or end an instance: if interrupted, the folder may not exist. */
const LIFECYCLE_KINDS = ["create", "purge", "release"];

/** True if an interrupted launch, removal or release left this. */
export function isUnfinished({ operation }: Managed["metadata"]): boolean {
  return operation !== undefined && LIFECYCLE_KINDS.includes(operation.kind);
}

/** Removes what an interrupted launch or removal left under the name, unless one is still in progress. */
export async function clearUnfinished(engine: LibvirtEngine, name: string, context: Context): Promise<void> {
  const managed = await findInstance(engine, name);
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
