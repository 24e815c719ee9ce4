import { basename, join } from "node:path";
import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { isShutOff } from "../domain/view.ts";
import { define, handOn, type LibvirtEngine, type Managed, runOptions, writeMetadata } from "../engine.ts";
import { libvirtError } from "../errors.ts";
import { dropPacked } from "../firmware/archive.ts";
import { finishFirmware, undoFirmware } from "../firmware/firmware.ts";
import { collectIfPossible } from "../layers/collect.ts";
import { parseStamp } from "../layers/pending-removals.ts";
import { removePendingIfLarge } from "../layers/removable.ts";
import { layersAbove, scheduleFrozenRemoval, scheduleRemoval } from "../layers/schedule-removal.ts";
import { removeStrays } from "../layers/stray.ts";
import { requireWritableNow } from "../layers/writable.ts";
import { finishRelease } from "../lifecycle/release.ts";
import { readImage } from "../qcow2/image.ts";
import { growImage } from "../qcow2/qemu-img.ts";
import { keepCurrentSnapshot, setCurrentSnapshot } from "../snapshots/current-snapshot.ts";
import { listCopies, removeRecordCopies } from "../snapshots/record-copies.ts";
import { currentName, listChildren, lookupSnapshot } from "../snapshots/records.ts";
import { deleteRecord, isRefusal, redefine } from "../snapshots/redefine.ts";
import { removeIfThere } from "../storage/durable-file.ts";
import { managedTarget, readDisk, readDiskAt } from "../xml/disks.ts";
import { ownFormats } from "../xml/own-files.ts";
import { setResources } from "../xml/resources.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import type { Operation, OperationOf } from "./entry.ts";
import { finishAddDisk, finishRemoveDisk } from "./finish-disks.ts";
import { finishHide } from "./finish-hide.ts";
import { finishInstanceRename, undoInstanceRename } from "./finish-instance-rename.ts";
import { finishMerge, undoMerge } from "./finish-merge.ts";
import { finishTake } from "./finish-take.ts";
import { clearJournal } from "./journal.ts";

/**
 * Finishes or undoes an interrupted operation, depending on what exists. Every step can be repeated, so being
 * interrupted here changes nothing for the next command. False if it must wait until a guest has stopped.
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
    case "hide":
      await finishHide(engine, managed, operation);
      return true;
    case "add-disk":
      await finishAddDisk(engine, managed, operation);
      return true;
    case "remove-disk":
      await finishRemoveDisk(managed, operation);
      return true;
    case "rename-instance":
      return finishInstanceRename(engine, managed, operation);
    case "resize":
      // QEMU has the disk open. It can grow once the guest has stopped.
      if (!(await isShutOff(managed))) {
        return false;
      }
      await finishResize(engine, managed, operation);
  }
  await clearJournal(managed.metadata.folder);
  return true;
}

/**
 * Makes the snapshot current and schedules the old disks for removal, or removes the new disks of a restore
 * that did not happen.
 */
export async function finishRestore(
  engine: LibvirtEngine,
  managed: Managed,
  operation: OperationOf<"restore">,
  snapshot?: SnapshotDocument,
): Promise<void> {
  const { name, file, old, stamp, disks: further = [] } = operation;
  const { document, metadata } = managed;
  if (readDisk(document) === file) {
    await finishFirmware(managed, operation);
    await setCurrentSnapshot(managed, name, snapshot).catch((error: unknown) => {
      if (!isRefusal(error)) {
        throw error;
      }
      // The layers tell which snapshot is current; `strata doctor` shows where libvirt differs.
      engine.log.warn(
        `libvirt could not make "${name}" the current snapshot: ${libvirtError(error).message}`,
      );
    });
    const copies = await listCopies(metadata.folder);
    for (const disk of [{ old, stamp }, ...further]) {
      await scheduleRemoval(managed, disk.old, copies, parseStamp(disk.stamp));
    }
    await removePendingIfLarge(managed, copies);
  } else {
    await undoFirmware(managed, operation);
    await removeStrays(engine, managed, [file, ...further.map((disk) => disk.file)]);
  }
  await clearJournal(metadata.folder);
}

/**
 * Deletes a snapshot's record and schedules its layers for removal. A caller that has just read the snapshot
 * passes it.
 */
export async function finishDelete(
  engine: LibvirtEngine,
  managed: Managed,
  { name, layer, stamp, firmware, memory, disks: further = [] }: OperationOf<"delete">,
  context?: Pick<Context, "signal"> & Partial<Context>,
  seen?: { readonly snapshot: SnapshotDocument; readonly children: readonly SnapshotDocument[] },
): Promise<void> {
  const { domain, metadata } = managed;
  const { folder } = metadata;
  const snapshot = seen?.snapshot ?? (await lookupSnapshot(domain, name));
  // A snapshot of that name with another layer was taken since.
  const same = layer === undefined || layer === "" || snapshot?.frozen[0] === layer;
  if (snapshot !== null && same) {
    const children = seen?.children ?? (await listChildren(domain, name));
    const above = layersAbove(folder, children);
    for (const [at, frozen] of snapshot.frozen.entries()) {
      const noted = at === 0 ? stamp : further.find((disk) => disk.layer === frozen)?.stamp;
      await scheduleFrozenRemoval(managed, frozen, above, parseStamp(noted));
    }
    await deleteRecord(managed, snapshot, children);
  }
  if (snapshot === null || same) {
    await removeRecordCopies(await listCopies(folder), name);
    await dropPacked(managed, firmware);
    // libvirt leaves the memory file that it saved with the snapshot.
    if (memory !== undefined) {
      await removeIfThere(join(folder, basename(memory)));
    }
  }
  await keepCurrentSnapshot(managed);
  // This change is the only sign of a deletion for those who watch the domain.
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
 * A rename records the snapshot again under the new name, moves the children over, then deletes the old
 * record. A caller that begins one has just read the old record and seen no new one.
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
  const { resume } = metadata;
  const renamed = resume?.snapshot === from ? { resume: { ...resume, snapshot: to } } : {};
  await removeRecordCopies(await listCopies(metadata.folder), from);
  if (seen === undefined) {
    await keepCurrentSnapshot(managed);
  }
  await writeMetadata(managed, { operation: null, ...renamed });
  await clearJournal(metadata.folder);
}

async function finishResize(
  engine: LibvirtEngine,
  managed: Managed,
  { disk, cpus, memory, disks: further = [] }: OperationOf<"resize">,
): Promise<void> {
  const { document, domain, metadata } = managed;
  const formats = ownFormats(document, metadata);
  for (const { target, size } of [{ target: managedTarget(document), size: disk }, ...further]) {
    // Another hand may have taken a further disk away meanwhile.
    const file = readDiskAt(document, target);
    if (file === "" && target !== managedTarget(document)) {
      continue;
    }
    const format = formats.get(file) ?? "qcow2";
    const { virtualSize } = await readImage(file, format);
    if (BigInt(size) > virtualSize) {
      await requireWritableNow(managed);
      await growImage(file, BigInt(size), runOptions(engine, domain.uuid), format);
    }
  }
  setResources(document, {
    ...(cpus === undefined ? {} : { cpus: Number(cpus) }),
    ...(memory === undefined ? {} : { memory: BigInt(memory) }),
  });
  await define(engine, document);
}

/** Undoes an operation that could not be finished, if that loses nothing. Rejects otherwise. */
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
        reason: "A merge cannot be undone while a guest uses the layers",
        state: "Running",
      });
    case "rename": {
      const { domain } = managed;
      const [old, made] = await Promise.all([
        lookupSnapshot(domain, operation.from),
        lookupSnapshot(domain, operation.to),
      ]);
      if (old !== null && made !== null && old.frozen[0] === made.frozen[0]) {
        await deleteRecord(managed, made, []);
        await removeRecordCopies(await listCopies(folder), operation.to);
      }
      break;
    }
    case "restore":
      if (readDisk(managed.document) !== operation.file) {
        await undoFirmware(managed, operation).catch(() => {});
        const further = (operation.disks ?? []).map(({ file }) => file);
        await removeStrays(engine, managed, [operation.file, ...further]);
      }
      break;
    case "rename-instance":
      return undoInstanceRename(engine, managed);
    default:
      // Nothing is lost and `strata doctor` shows what is left: only the entry is in the way.
      break;
  }
  await clearJournal(folder);
}
