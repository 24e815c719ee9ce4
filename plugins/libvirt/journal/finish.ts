import { dirname } from "node:path";
import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { isShutOff } from "../domain/view.ts";
import { define, handOn, type LibvirtEngine, type Managed, runOptions, writeMetadata } from "../engine.ts";
import { libvirtError } from "../errors.ts";
import { collectIfPossible } from "../layers/collect.ts";
import { parseStamp } from "../layers/pending-removals.ts";
import { removePendingIfLarge } from "../layers/removable.ts";
import { layersAbove, scheduleFrozenRemoval, scheduleRemoval } from "../layers/schedule-removal.ts";
import { removeStray } from "../layers/stray.ts";
import { requireWritableNow } from "../layers/writable.ts";
import { finishRelease } from "../lifecycle/release.ts";
import { readHeader } from "../qcow2/header.ts";
import { growImage } from "../qcow2/qemu-img.ts";
import { keepCurrentSnapshot, setCurrentSnapshot } from "../snapshots/current-snapshot.ts";
import { listCopies, removeRecordCopies } from "../snapshots/record-copies.ts";
import { currentName, listChildren, lookupSnapshot } from "../snapshots/records.ts";
import { deleteRecord, isRefusal, redefine } from "../snapshots/redefine.ts";
import { removeIfThere } from "../storage/durable-file.ts";
import { readDisk } from "../xml/disks.ts";
import { setResources } from "../xml/domain.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import type { Operation, OperationOf } from "./entry.ts";
import { finishMerge, undoMerge } from "./finish-merge.ts";
import { finishTake } from "./finish-take.ts";
import { clearJournal } from "./journal.ts";

/**
 * Finishes or undoes what an operation has left half done, by looking at what is there. Every step may be repeated:
 * whoever is killed here leaves the same to the next. False where it must wait until a guest has stopped.
 */
export async function finishOperation(
  engine: LibvirtEngine,
  managed: Managed,
  operation: Exclude<Operation, { kind: "create" | "purge" }>,
  context?: Pick<Context, "signal">,
): Promise<boolean> {
  switch (operation.kind) {
    case "release":
      if (!(await isShutOff(managed))) {
        return false;
      }
      await finishRelease(engine, managed);
      return true;
    case "take":
      await finishTake(engine, managed, operation);
      break;
    case "restore":
      await finishRestore(engine, managed, operation);
      return true;
    case "delete":
      await finishDelete(engine, managed, operation, context);
      return true;
    case "merge":
      if (!(await finishMerge(engine, managed, operation, context))) {
        return false;
      }
      break;
    case "rename":
      await finishRename(managed, operation);
      return true;
    case "resize":
      // QEMU has the disk open; it grows once the guest has stopped.
      if (!(await isShutOff(managed))) {
        return false;
      }
      await finishResize(engine, managed, operation);
  }
  await clearJournal(managed.metadata.folder);
  return true;
}

/** Sets the mark and lets the disk go that a restore has left, or removes the new one of a restore that was none. */
export async function finishRestore(
  engine: LibvirtEngine,
  managed: Managed,
  { name, file, old, stamp }: OperationOf<"restore">,
  snapshot?: SnapshotDocument,
): Promise<void> {
  const { document, metadata } = managed;
  if (readDisk(document) === file) {
    await setCurrentSnapshot(managed, name, snapshot).catch((error: unknown) => {
      if (!isRefusal(error)) {
        throw error;
      }
      // Where the instance stands is told by its layers; `strata doctor` shows a mark that is elsewhere.
      engine.log.warn(`libvirt does not mark "${name}" as current: ${libvirtError(error).message}`);
    });
    const copies = await listCopies(metadata.folder);
    await scheduleRemoval(managed, old, copies, parseStamp(stamp));
    await removePendingIfLarge(managed, copies);
  } else {
    await removeStray(engine, managed, file);
  }
  await clearJournal(metadata.folder);
}

/** Takes a snapshot's record away and lets its layer go. Who has just looked at it says what is there. */
export async function finishDelete(
  engine: LibvirtEngine,
  managed: Managed,
  { name, layer, stamp }: OperationOf<"delete">,
  context?: Pick<Context, "signal"> & Partial<Context>,
  seen?: { readonly snapshot: SnapshotDocument; readonly children: readonly SnapshotDocument[] },
): Promise<void> {
  const { domain, metadata } = managed;
  const { folder } = metadata;
  const snapshot = seen?.snapshot ?? (await lookupSnapshot(domain, name));
  // A snapshot of that name with another layer is one that was taken since.
  const same = layer === undefined || layer === "" || snapshot?.frozen === layer;
  if (snapshot !== null && same) {
    const children = seen?.children ?? (await listChildren(domain, name));
    if (snapshot.frozen !== null) {
      await scheduleFrozenRemoval(managed, snapshot.frozen, layersAbove(folder, children), parseStamp(stamp));
    }
    await deleteRecord(managed, snapshot, children);
    // libvirt leaves the memory that it saved with the snapshot.
    if (dirname(snapshot.memory) === folder) {
      await removeIfThere(snapshot.memory);
    }
  }
  if (snapshot === null || same) {
    await removeRecordCopies(await listCopies(folder), name);
  }
  await keepCurrentSnapshot(managed);
  // Whoever watches the domain sees no deletion otherwise.
  const written = await writeMetadata(
    managed,
    { operation: null },
    managed.shutOff === true ? false : undefined,
  );
  await clearJournal(folder);
  handOn(written, await listCopies(folder));
  await collectIfPossible(engine, written, context);
}

/**
 * A rename is a second record under the new name, the children moved over, then the old one removed. Who begins one
 * has just looked at the old one, and seen no new one.
 */
export async function finishRename(
  managed: Managed,
  { from, to }: OperationOf<"rename">,
  seen?: SnapshotDocument,
): Promise<void> {
  const { domain, metadata } = managed;
  const old = seen ?? (await lookupSnapshot(domain, from));
  if (old !== null) {
    const current = await currentName(domain);
    if (seen !== undefined || (await lookupSnapshot(domain, to)) === null) {
      await redefine(managed, old, { name: to }, current === from);
    }
    const children = await listChildren(domain, from);
    for (const child of children) {
      await redefine(managed, child, { parent: to }, false);
    }
    await deleteRecord(managed, old, []);
  }
  await removeRecordCopies(await listCopies(metadata.folder), from);
  if (seen === undefined) {
    await keepCurrentSnapshot(managed);
  }
  await writeMetadata(managed, { operation: null });
  await clearJournal(metadata.folder);
}

async function finishResize(
  engine: LibvirtEngine,
  managed: Managed,
  { disk, cpus, memory }: OperationOf<"resize">,
): Promise<void> {
  const { document, domain } = managed;
  const activeLayer = readDisk(document);
  const { virtualSize } = await readHeader(activeLayer);
  if (BigInt(disk) > virtualSize) {
    await requireWritableNow(managed);
    await growImage(activeLayer, BigInt(disk), runOptions(engine, domain.uuid));
  }
  setResources(document, {
    ...(cpus === undefined ? {} : { cpus: Number(cpus) }),
    ...(memory === undefined ? {} : { memory: BigInt(memory) }),
  });
  await define(engine, document);
}

/** Undoes what could not be finished, where that loses nothing. Rejects where it cannot. */
export async function undoOperation(
  engine: LibvirtEngine,
  managed: Managed,
  operation: Operation,
): Promise<void> {
  const { folder } = managed.metadata;
  switch (operation.kind) {
    case "merge":
      if (await undoMerge(engine, managed, operation)) {
        break;
      }
      throw failure("WRONG_STATE", {
        name: managed.name,
        reason: "A merge cannot be undone while a guest uses its layers",
        state: "Running",
      });
    case "rename": {
      const { domain } = managed;
      const [old, made] = await Promise.all([
        lookupSnapshot(domain, operation.from),
        lookupSnapshot(domain, operation.to),
      ]);
      if (old !== null && made !== null && old.frozen === made.frozen) {
        await deleteRecord(managed, made, []);
        await removeRecordCopies(await listCopies(folder), operation.to);
      }
      break;
    }
    case "restore":
      if (readDisk(managed.document) !== operation.file) {
        await removeStray(engine, managed, operation.file);
      }
      break;
    default:
      // What is half done shows in what is there, and loses nothing: the entry is all that is in the way.
      break;
  }
  await clearJournal(folder);
}
