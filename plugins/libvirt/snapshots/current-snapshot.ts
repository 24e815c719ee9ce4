import { isStrataError } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { SnapshotCreateFlags } from "../rpc/index.ts";
import { readDisk } from "../xml/disks.ts";
import { serialize } from "../xml/document.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import { readBackup, recordLost, removeBackup } from "./record-backup.ts";
import { listRecords, listSnapshots, lookupSnapshot, standsOn } from "./records.ts";
import { isExposed, isRefusal, redefine } from "./redefine.ts";

/** Moves libvirt's current mark to a snapshot, which may have been looked at just now. */
export async function setCurrentSnapshot(
  managed: Managed,
  name: string,
  seen?: SnapshotDocument,
): Promise<void> {
  const snapshot = seen ?? (await lookupSnapshot(managed.domain, name));
  if (snapshot !== null) {
    await redefine(managed, snapshot, {}, true);
  }
}

/**
 * Gives libvirt back a record that it has forgotten. One with children has left them with a pointer to
 * nowhere in libvirtd's memory, where no call can mend it: rejects with RECORD_FORGOTTEN until libvirtd has
 * been started again and has read its records.
 */
export async function restoreBackup(managed: Managed): Promise<void> {
  const saved = await readBackup(managed);
  if (saved === undefined) {
    return;
  }
  const all = await listSnapshots(managed.domain);
  if (saved !== null && !all.some(({ name }) => name === saved.name)) {
    if (all.some(({ parent }) => parent === saved.name)) {
      throw recordLost(managed, saved);
    }
    await managed.domain.createSnapshot(serialize(saved.document), SnapshotCreateFlags.REDEFINE);
  }
  await removeBackup(managed);
  await keepCurrentSnapshot(managed);
}

/**
 * Has libvirt mark a snapshot again where it marks none: it gives its mark up when it cannot write it. One that it
 * marks by itself, the parent of one that was deleted, must name the disk that the instance writes; see `redefine`.
 */
export async function keepCurrentSnapshot(managed: Managed): Promise<void> {
  await correctCurrentSnapshot(managed).catch((error: unknown) => {
    // Where the instance stands is told by its layers; a mark that is elsewhere is a matter for `strata doctor`.
    if (!isRefusal(error)) {
      throw error;
    }
  });
}

async function correctCurrentSnapshot(managed: Managed): Promise<void> {
  const { domain, document } = managed;
  const current = await domain.currentSnapshot();
  if (current !== null) {
    const snapshot = await lookupSnapshot(domain, current.name);
    if (snapshot !== null && (await isExposed(managed, snapshot))) {
      await redefine(managed, snapshot, {}, true);
    }
    return;
  }
  const snapshots = await listRecords(domain);
  // Where a layer is missing, nothing tells where the instance stands.
  const position = await standsOn(managed, snapshots, readDisk(document)).catch((error: unknown) => {
    if (isStrataError(error) && (error.code === "LAYER_MISSING" || error.code === "LAYER_UNREADABLE")) {
      return null;
    }
    throw error;
  });
  if (position !== null) {
    await setCurrentSnapshot(managed, position);
  }
}
