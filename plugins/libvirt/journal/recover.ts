import { join } from "node:path";
import type { Context } from "../../../lib/engine/contract.ts";
import { type ErrorCode, failure } from "../../../lib/errors.ts";
import { ownDefinition } from "../domain/definition-chain.ts";
import { getLocked, type LibvirtEngine, type Managed, writeMetadata } from "../engine.ts";
import { libvirtError } from "../errors.ts";
import { cancelRemoval } from "../layers/pending-removals.ts";
import { removeInstance } from "../lifecycle/removal.ts";
import { restoreBackup } from "../snapshots/current-snapshot.ts";
import { RECORD_BACKUP } from "../snapshots/record-backup.ts";
import { DEFINITION, listCopies } from "../snapshots/record-copies.ts";
import { exists } from "../storage/pool.ts";
import type { Operation, OperationOf } from "./entry.ts";
import { finishOperation, undoOperation } from "./finish.ts";
import { finishTake } from "./finish-take.ts";
import { clearJournal, JOURNAL, readJournal, setJournalAside, writeJournal } from "./journal.ts";

/** How often finishing an operation is refused before it is undone. */
const MAX_REFUSALS = 2;

/** What says nothing about whether an operation can be finished: another try may end it. */
const TRANSIENT: readonly ErrorCode[] = ["CANCELLED", "ENGINE_LOST", "ENGINE_UNAVAILABLE", "TIMEOUT", "BUSY"];

/**
 * Finishes or undoes what an operation that died has left half done. What was refused twice is undone; what cannot be
 * undone either is set aside, so that nothing locks an instance for good. The caller holds the instance.
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
    const { name, overlay, taken = 0 } = snapshot;
    if (name !== undefined && overlay !== undefined) {
      await finishTakeOrGiveUp(
        engine,
        managed,
        { kind: "take", name, file: overlay, taken: String(taken) },
        context,
      );
    }
    // Of a version before 0.2, whose operation says the rest.
    else {
      managed = await writeMetadata(managed, { snapshot: null });
    }
  }
  await finishJournal(engine, id, context);
}

/**
 * True for what a killed launch has left. A launch that ended left a copy of the definition: there the note came back
 * with an old definition. A running domain is in use.
 */
async function isHalfMade({ domain, metadata: { folder } }: Managed): Promise<boolean> {
  if ((await exists(join(folder, DEFINITION))) || (await listCopies(folder)).length > 0) {
    return false;
  }
  return (await domain.snapshotCount()) === 0 && !(await domain.isActive());
}

/** An operation of a version before 0.2, which kept it in the metadata, where a record of old brings it back. */
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

/** The note of a take is in the metadata; how often finishing it was refused is counted in the journal. */
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

/** Rejects with what kept an operation from being finished, unless that was once too often: then it is given up. */
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
  engine.log.warn(`the ${operation.kind} that was under way on "${name}" could not be finished: ${reason}`);
  try {
    await undoOperation(engine, managed, operation);
    engine.log.warn(`it was undone; \`strata doctor\` shows what is left of it`);
  } catch (error) {
    engine.log.warn(`nor could it be undone, and was set aside: ${libvirtError(error).message}`);
    // Headers cannot be believed half way through a merge: nothing proves any more that its layer may go.
    if (operation.kind === "merge") {
      await cancelRemoval(metadata.folder, [operation.layer]);
    }
    await setJournalAside(metadata.folder);
  }
}

/**
 * The domain of that id, held and with nothing left half done: what every change begins with. While a guest runs on
 * layers that an interrupted operation must change, that must wait, and so must the change.
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
    return ownDefinition(engine, managed);
  }
  await finishInterrupted(engine, id, context);
  const shutOff = await getLocked(engine, id);
  const { name, domain, metadata } = shutOff;
  const entry = await readJournal(metadata.folder);
  if (entry === undefined) {
    return ownDefinition(engine, shutOff);
  }
  const reason = `A ${entry.operation.kind} was interrupted and ends once it is stopped`;
  if (!(await domain.isActive())) {
    throw failure("INSTANCE_SUSPENDED", { name, reason });
  }
  throw failure("WRONG_STATE", { name, reason, state: "Running" });
}

/** True where something is left half done. */
export async function isPending({ metadata }: Managed): Promise<boolean> {
  const { folder, operation, snapshot } = metadata;
  if (operation !== undefined || snapshot !== undefined) {
    return true;
  }
  return (await exists(join(folder, JOURNAL))) || exists(join(folder, RECORD_BACKUP));
}
