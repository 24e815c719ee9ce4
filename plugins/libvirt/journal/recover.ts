import { join } from "node:path";
import type { Context } from "../../../lib/engine/contract.ts";
import { type ErrorCode, failure } from "../../../lib/errors.ts";
import { ownDefinition } from "../domain/definition-chain.ts";
import { getLocked, type LibvirtEngine, type Managed, writeMetadata } from "../engine.ts";
import { libvirtError } from "../errors.ts";
import { cancelRemoval } from "../layers/pending-removals.ts";
import { removeInstance } from "../lifecycle/removal.ts";
import { dropStale } from "../memory/resume.ts";
import { restoreBackup } from "../snapshots/current-snapshot.ts";
import { RECORD_BACKUP } from "../snapshots/record-backup.ts";
import { DEFINITION, listCopies } from "../snapshots/record-copies.ts";
import { exists } from "../storage/pool.ts";
import type { DiskEntry } from "../xml/metadata.ts";
import type { Operation, OperationOf } from "./entry.ts";
import { finishOperation, undoOperation } from "./finish.ts";
import { finishTake } from "./finish-take.ts";
import { clearJournal, JOURNAL, readJournal, setJournalAside, writeJournal } from "./journal.ts";

/** How often finishing an operation may fail before it is undone. */
const MAX_REFUSALS = 2;

/** Errors that do not mean that an operation cannot be finished: trying again may succeed. */
const TRANSIENT: readonly ErrorCode[] = ["CANCELLED", "ENGINE_LOST", "ENGINE_UNAVAILABLE", "TIMEOUT", "BUSY"];

/**
 * Finishes or undoes an interrupted operation. One that could not be finished twice is undone, and one that
 * cannot be undone is set aside, so that no instance stays locked forever. The caller has locked the
 * instance.
 */
export async function finishInterrupted(
  engine: LibvirtEngine,
  id: string,
  context?: Pick<Context, "signal">,
): Promise<void> {
  let managed = await getLocked(engine, id);
  const { operation } = managed.metadata;
  if (operation?.kind === "purge") {
    return removeInstance(engine, managed);
  }
  if (operation?.kind === "create") {
    if (await isHalfMade(managed)) {
      return removeInstance(engine, managed);
    }
    managed = await writeMetadata(managed, { operation: null });
  } else if (operation !== undefined) {
    managed = await moveToJournal(managed, operation);
  }
  await restoreBackup(managed);
  const { snapshot } = managed.metadata;
  if (snapshot !== undefined) {
    const { name, overlay, taken = 0, disks } = snapshot;
    if (name !== undefined && overlay !== undefined) {
      await finishTakeOrGiveUp(
        engine,
        managed,
        {
          kind: "take",
          name,
          file: overlay,
          taken: String(taken),
          ...(disks === undefined ? {} : { disks: disks.map(toTaken) }),
        },
        context,
      );
    }
    // Written by a version before 0.2, whose `<operation>` has the rest.
    else {
      managed = await writeMetadata(managed, { snapshot: null });
    }
  }
  await finishJournal(engine, id, context);
}

function toTaken({ target, overlay = "" }: DiskEntry): { readonly target: string; readonly file: string } {
  return { target, file: overlay };
}

/**
 * True if an interrupted launch left this. A launch that ended also left a copy of the definition: then the
 * entry came back with an old definition. A running domain is in use.
 */
async function isHalfMade({ domain, metadata: { folder } }: Managed): Promise<boolean> {
  if ((await exists(join(folder, DEFINITION))) || (await listCopies(folder)).length > 0) {
    return false;
  }
  return (await domain.snapshotCount()) === 0 && !(await domain.isActive());
}

/**
 * Moves an operation of a version before 0.2 to the journal. Those kept it in the metadata, where an old
 * record brings it back.
 */
async function moveToJournal(
  managed: Managed,
  operation: Managed["metadata"]["operation"],
): Promise<Managed> {
  const { folder } = managed.metadata;
  if (operation === undefined) {
    return managed;
  }
  if (operation.kind === "unusable") {
    throw failure(operation.code, { name: managed.name, reason: operation.reason });
  }
  if ((await readJournal(folder)) === undefined) {
    await writeJournal(folder, operation);
  }
  return writeMetadata(managed, { operation: null });
}

async function finishJournal(
  engine: LibvirtEngine,
  id: string,
  context?: Pick<Context, "signal">,
): Promise<void> {
  const managed = await getLocked(engine, id);
  const { folder } = managed.metadata;
  const entry = await readJournal(folder);
  if (entry === undefined) {
    return;
  }
  const { operation, refusals } = entry;
  if (operation.kind === "unusable") {
    throw failure(operation.code, { name: managed.name, reason: operation.reason });
  }
  if (operation.kind === "create" || operation.kind === "purge") {
    return setJournalAside(folder);
  }
  engine.log.debug("finishing an operation", { name: managed.name, ...operation });
  try {
    await finishOperation(engine, managed, operation, context);
  } catch (error) {
    await recordRefusal(engine, managed, { operation, refusals }, error, context);
  }
}

/** The entry of a take is in the metadata. How often finishing it has failed is counted in the journal. */
async function finishTakeOrGiveUp(
  engine: LibvirtEngine,
  managed: Managed,
  take: OperationOf<"take">,
  context?: Pick<Context, "signal">,
): Promise<void> {
  const { folder } = managed.metadata;
  const entry = await readJournal(folder);
  try {
    await finishTake(engine, managed, take);
    if (entry?.operation.kind === "take") {
      await clearJournal(folder);
    }
  } catch (error) {
    if (entry !== undefined && entry.operation.kind !== "take") {
      throw error;
    }
    await recordRefusal(engine, managed, { operation: take, refusals: entry?.refusals ?? 0 }, error, context);
    await writeMetadata(await getLocked(engine, managed.domain.uuid), { snapshot: null });
  }
}

/**
 * Rejects with the error that kept an operation from being finished, unless it has failed too often: then the
 * operation is given up.
 */
async function recordRefusal(
  engine: LibvirtEngine,
  managed: Managed,
  { operation, refusals }: { readonly operation: Operation; readonly refusals: number },
  error: unknown,
  context?: Pick<Context, "signal">,
): Promise<void> {
  const refused = libvirtError(error);
  if (TRANSIENT.includes(refused.code) || context?.signal.aborted) {
    throw error;
  }
  if (refusals + 1 < MAX_REFUSALS) {
    await writeJournal(managed.metadata.folder, operation, refusals + 1);
    throw error;
  }
  await giveUp(engine, managed, operation, refused.message);
}

async function giveUp(
  engine: LibvirtEngine,
  managed: Managed,
  operation: Operation,
  reason: string,
): Promise<void> {
  const { name, metadata } = managed;
  engine.log.warn(`could not finish the interrupted ${operation.kind} of "${name}": ${reason}`);
  try {
    await undoOperation(engine, managed, operation);
    engine.log.warn(`the ${operation.kind} was undone; \`strata doctor\` shows what is left of it`);
  } catch (error) {
    engine.log.warn(
      `the ${operation.kind} could not be undone either, and was set aside: ${libvirtError(error).message}`,
    );
    // In the middle of a merge, headers cannot be trusted: nothing proves any more that the layer may be
    // removed.
    if (operation.kind === "merge") {
      await cancelRemoval(metadata.folder, [operation.layer]);
    }
    await setJournalAside(metadata.folder);
  }
}

/**
 * The domain of that id, locked and without an interrupted operation: every change begins with this. While a
 * guest runs on layers that the interrupted operation must change, it must wait, and so must the change.
 */
export async function getReady(
  engine: LibvirtEngine,
  id: string,
  context?: Pick<Context, "signal">,
): Promise<Managed> {
  const managed = await getLocked(engine, id);
  if (managed.lockState?.refused !== undefined) {
    throw managed.lockState.refused;
  }
  if (!(await isPending(managed))) {
    return ownDefinition(engine, await dropStale(managed));
  }
  await finishInterrupted(engine, id, context);
  const shutOff = await getLocked(engine, id);
  const { name, domain, metadata } = shutOff;
  const entry = await readJournal(metadata.folder);
  if (entry === undefined) {
    return ownDefinition(engine, shutOff);
  }
  const reason = `An interrupted ${entry.operation.kind} can be finished only after the instance has stopped`;
  if (!(await domain.isActive())) {
    throw failure("INSTANCE_SUSPENDED", { name, reason });
  }
  throw failure("WRONG_STATE", { name, reason, state: "Running" });
}

/** True if there is an interrupted operation. */
export async function isPending({ metadata }: Managed): Promise<boolean> {
  const { folder, operation, snapshot } = metadata;
  if (operation !== undefined || snapshot !== undefined) {
    return true;
  }
  return (await exists(join(folder, JOURNAL))) || exists(join(folder, RECORD_BACKUP));
}
