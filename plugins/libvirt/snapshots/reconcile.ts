import { dirname } from "node:path";
import type { Managed } from "../engine.ts";
import { dropPacked } from "../firmware/archive.ts";
import { readGraph } from "../layers/graph.ts";
import { addPendingRemoval, cancelRemoval } from "../layers/pending-removals.ts";
import { readImage } from "../qcow2/image.ts";
import { removeIfThere } from "../storage/durable-file.ts";
import { exists } from "../storage/pool.ts";
import { activeLayers, readDisks } from "../xml/disks.ts";
import { parse } from "../xml/document.ts";
import { readSnapshot, recordedFormats } from "../xml/snapshot.ts";
import {
  listCopies,
  RECORDS,
  type RecordCopy,
  readCopy,
  recordCopyPath,
  removeRecordCopies,
  writeRecordCopy,
} from "./record-copies.ts";
import { listRecords, readRecordText, type SnapshotText } from "./records.ts";

/**
 * Reconciles the copies of an instance's records with libvirt's list, which costs one call. A record without
 * a copy was made by someone else and gets one. A copy without a record belongs to a snapshot that libvirt's
 * own tools have deleted, or to a record that was lost, and in that case is kept until the record is back.
 * Resolves to the copies: everything that snapshots froze, including lost ones. The caller has locked the
 * instance.
 */
export async function reconcile(managed: Managed): Promise<readonly RecordCopy[]> {
  const { lockState } = managed;
  const known = lockState?.copies;
  delete lockState?.copies;
  return known ?? (await reconcileNames(managed)).copies;
}

/** Like `reconcile`, with the names that libvirt lists. */
export async function reconcileNames(managed: Managed): Promise<{
  readonly names: readonly string[];
  readonly copies: readonly RecordCopy[];
}> {
  const { domain, metadata, document } = managed;
  const { folder } = metadata;
  // A disk that was put back into the definition must not be removed any more.
  await cancelRemoval(folder, readDisks(document));
  const [names, copies] = await Promise.all([
    domain.listSnapshots().then((all) => all.map(({ name }) => name)),
    listCopies(folder),
  ]);
  const listed = new Set(names);
  const copied = new Set(copies.map(({ name }) => name));
  const unknown = names.filter((name) => !copied.has(name));
  const lost = copies.filter(({ name }) => !listed.has(name));
  if (unknown.length === 0 && lost.length === 0) {
    return { names, copies };
  }
  const first = copies.length === 0 && !(await exists(`${folder}/${RECORDS}`));
  const records = lost.length > 0 ? await listRecords(domain) : await readThose(managed, unknown);
  for (const record of records) {
    await keep(folder, copies, record);
  }
  await cancelRemoval(
    folder,
    records.flatMap(({ frozen }) => frozen),
  );
  if (first) {
    await movePendingRemovals(managed, records);
  }
  const deleted = await deletedByLibvirt(managed, lost, records);
  for (const copy of deleted) {
    const firmware = await firmwareOf(copy);
    await removeIfThere(copy.path);
    await dropPacked(managed, firmware);
  }
  return { names, copies: await listCopies(folder) };
}

/**
 * Copies the records that have no copy, and does nothing else: all that may be done while an operation is
 * interrupted.
 */
export async function copyNewRecords(managed: Managed): Promise<void> {
  const { folder } = managed.metadata;
  const copies = await listCopies(folder);
  const copied = new Set(copies.map(({ name }) => name));
  const names = (await managed.domain.listSnapshots()).map(({ name }) => name);
  const unknown = names.filter((name) => !copied.has(name));
  for (const record of await readThose(managed, unknown)) {
    await keep(folder, copies, record);
  }
}

async function readThose({ domain }: Managed, names: readonly string[]): Promise<SnapshotText[]> {
  const records = await Promise.all(names.map((name) => readRecordText(domain, name)));
  return records.filter((record) => record !== null);
}

/** The state of the firmware that a snapshot had, as the copy of its record says. */
async function firmwareOf({ path }: RecordCopy): Promise<string | undefined> {
  const xml = await readCopy(path).catch(() => null);
  return xml === null ? undefined : readSnapshot(await parse(xml)).firmware;
}

/** Writes the copy of a record unless there is one with the same layers. */
async function keep(folder: string, copies: readonly RecordCopy[], record: SnapshotText): Promise<void> {
  const path = recordCopyPath(folder, record.name, record.frozen);
  if (!copies.some((copy) => copy.path === path)) {
    await writeRecordCopy(folder, record);
  }
  await removeRecordCopies(copies, record.name, path);
}

/**
 * The copies of snapshots that libvirt has deleted with their data: each layer belongs to another snapshot
 * now, or is an active layer, or is gone and nothing needs it.
 */
export async function deletedByLibvirt(
  managed: Managed,
  lost: readonly RecordCopy[],
  records: readonly Pick<SnapshotText, "frozen">[],
): Promise<RecordCopy[]> {
  if (lost.length === 0) {
    return [];
  }
  const frozen = new Set(records.flatMap((record) => record.frozen));
  const active = activeLayers(managed.document);
  const graph = await readGraph(managed, lost);
  const isDeleted = async (layer: string): Promise<boolean> => {
    if (frozen.has(layer)) {
      return true;
    }
    if (active.includes(layer)) {
      return graph.dependants(layer).length === 0;
    }
    // If something stands on it, it was removed in some other way and may be brought back.
    return !(await exists(layer)) && graph.dependants(layer).length === 0;
  };
  const is = await Promise.all(
    lost.map(async (copy) => {
      if (copy.frozen.length === 0) {
        return !(await hasInsideSnapshots(copy));
      }
      return (await Promise.all(copy.frozen.map(isDeleted))).every(Boolean);
    }),
  );
  return lost.filter((_, at) => is[at]);
}

/** True if the image of a snapshot inside it still contains snapshots. */
async function hasInsideSnapshots({ path }: RecordCopy): Promise<boolean> {
  const xml = await readCopy(path).catch(() => null);
  if (xml === null) {
    return false;
  }
  const snapshot = readSnapshot(await parse(xml));
  const formats = recordedFormats(snapshot);
  const headers = await Promise.all(
    snapshot.recorded.map((file) => readImage(file, formats.get(file) ?? "qcow2").catch(() => null)),
  );
  return headers.some((header) => header !== null && header.inside > 0);
}

/**
 * Versions before 0.2 kept a list of the disks that restores had left in the metadata. Moves it to the
 * pending removals.
 */
async function movePendingRemovals(managed: Managed, records: readonly SnapshotText[]): Promise<void> {
  const { pendingRemovals = [], folder } = managed.metadata;
  const active = activeLayers(managed.document);
  const frozen = new Set(records.flatMap((record) => record.frozen));
  for (const path of pendingRemovals) {
    if (!active.includes(path) && !frozen.has(path) && dirname(path) === folder) {
      await addPendingRemoval(path);
    }
  }
}
