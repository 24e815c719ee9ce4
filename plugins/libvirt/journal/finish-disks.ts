import type { LibvirtEngine, Managed } from "../engine.ts";
import { parseStamp } from "../layers/pending-removals.ts";
import { scheduleRemoval } from "../layers/schedule-removal.ts";
import { removeStray } from "../layers/stray.ts";
import { listCopies } from "../snapshots/record-copies.ts";
import { readDiskAt } from "../xml/disks.ts";
import type { OperationOf } from "./entry.ts";
import { clearJournal } from "./journal.ts";

/** Removes the file of a disk that did not get into the definition. */
export async function finishAddDisk(
  engine: LibvirtEngine,
  managed: Managed,
  { target, file }: OperationOf<"add-disk">,
): Promise<void> {
  if (readDiskAt(managed.document, target) !== file) {
    await removeStray(engine, managed, file);
  }
  await clearJournal(managed.metadata.folder);
}

/**
 * Schedules the removal of the file of a disk that has left the definition. The file of an owner's own is
 * elsewhere, and stays.
 */
export async function finishRemoveDisk(
  managed: Managed,
  { target, file, stamp }: OperationOf<"remove-disk">,
): Promise<void> {
  const { folder } = managed.metadata;
  if (readDiskAt(managed.document, target) !== file) {
    await scheduleRemoval(managed, file, await listCopies(folder), parseStamp(stamp));
  }
  await clearJournal(folder);
}
