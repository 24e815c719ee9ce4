import { isStrataError } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { SnapshotCreateFlags } from "../rpc/index.ts";
import { readDisk } from "../xml/disks.ts";
import { serialize } from "../xml/document.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import { readBackup, recordLost, removeBackup } from "./record-backup.ts";
import { listRecords, listSnapshots, lookupSnapshot, standsOn } from "./records.ts";
import { isExposed, isRefusal, redefine } from "./redefine.ts";

/** Makes a snapshot libvirt's current one. A caller that has just read it passes it. */
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
 * Makes libvirt record a snapshot again that it has dropped. If it has children, libvirtd's memory has them
 * under a parent that does not exist, which no call can repair: rejects with RECORD_FORGOTTEN until libvirtd
 * has been restarted and has read its records.
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
 * Sets libvirt's current snapshot if it has none: it drops the flag if it cannot write it. A snapshot that
 * libvirt itself makes current, the parent of one that was deleted, must name the active layer; see
 * `redefine`.
 */
export async function keepCurrentSnapshot(managed: Managed): Promise<void> {
  await correctCurrentSnapshot(managed).catch((error: unknown) => {
    // The layers tell which snapshot is current; `strata doctor` shows where libvirt differs.
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
  // If a layer is missing, the current snapshot is unknown.
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
