import { existsSync } from "node:fs";
import { join } from "node:path";
import { quietContext } from "../../../lib/engine/quiet-context.ts";
import { reasonOf } from "../../../lib/errors.ts";
import { isShutOff } from "../domain/view.ts";
import { define, type LibvirtEngine, type Managed, writeMetadata } from "../engine.ts";
import { libvirtError } from "../errors.ts";
import { dropPacked } from "../firmware/archive.ts";
import { layerOf } from "../layers/names.ts";
import { parseStamp, type Stamp, stampText } from "../layers/pending-removals.ts";
import { scheduleRemoval } from "../layers/schedule-removal.ts";
import { isStray, removeStrays } from "../layers/stray.ts";
import { removeMemory } from "../memory/files.ts";
import { plugMounts } from "../mounts/hotplug.ts";
import { readHeader } from "../qcow2/header.ts";
import { secure } from "../qcow2/qemu-img.ts";
import { keepCurrentSnapshot } from "../snapshots/current-snapshot.ts";
import { letGoOn } from "../snapshots/live-guest.ts";
import { endGroup, isPendingGroup } from "../snapshots/pending-group.ts";
import {
  DEFINITION,
  listCopies,
  readCopy,
  removeRecordCopies,
  writeRecordCopy,
} from "../snapshots/record-copies.ts";
import { listRecords, lookupSnapshot, readRecordText, standsOn } from "../snapshots/records.ts";
import { deleteRecord, isRefusal, redefine } from "../snapshots/redefine.ts";
import { readFileUsers } from "../storage/file-users.ts";
import { findDisk, managedTarget, readDisk, setDiskAt } from "../xml/disks.ts";
import { type Element, parse } from "../xml/document.ts";
import { putMetadata, readMetadata, type SnapshotEntry } from "../xml/metadata.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import type { OperationOf } from "./entry.ts";

/** A disk of an interrupted take. */
interface TakenDisk {
  readonly target: string;
  /** The overlay that the take made. */
  readonly file: string;
  /** What the overlay stands on; null if that is not known. */
  readonly below: string | null;
}

/**
 * Finishes or undoes an interrupted take, depending on what exists. The entry may also have come back with an
 * old definition, long after the take ended: then it is only removed. libvirt switches all disks at once, so the
 * system disk tells how far it came.
 */
export async function finishTake(
  engine: LibvirtEngine,
  managed: Managed,
  { name, file, taken, disks: further = [] }: OperationOf<"take">,
): Promise<void> {
  const { domain, metadata, document } = managed;
  await letGoOn(managed);
  if (metadata.snapshot?.consistency === "memory") {
    await plugMounts(engine, managed, quietContext()).catch((error: unknown) => {
      engine.log.warn(`the mounts of "${managed.name}" come back with its next start: ${reasonOf(error)}`);
    });
  }
  const activeLayer = readDisk(document);
  const made = [{ target: managedTarget(document), file }, ...further];
  const disks = await Promise.all(
    made.map(async (disk) => ({ ...disk, below: await backingOf(metadata.folder, disk.file) })),
  );
  const group = metadata.snapshot?.group;
  const undone = await isPendingGroup(engine, group);
  const found = await lookupSnapshot(domain, name);
  const snapshot = undone ? await withoutRecord(managed, found, file) : found;
  const stage = stageOf({ snapshot, file, below: disks[0]?.below ?? null, activeLayer });
  if (stage === "recorded") {
    await completeTake(engine, managed, { name, disks, switched: activeLayer !== snapshot?.frozen[0] });
  } else {
    const undo = stage === "switched" ? undoSwitch : undoPreparation;
    await keepCurrentSnapshot({ ...managed, document: await undo(engine, managed, disks) });
    await dropPacked(managed, metadata.snapshot?.firmware);
    await removeMemory(metadata.folder, metadata.snapshot?.memory);
  }
  // An old definition has an old counter. The copy of the definition has that of strata's last operation.
  const ever = Math.max(metadata.record.snapshotsTaken, await takenByCopy(metadata.folder));
  const counted = stage === "recorded" ? Math.max(Number(taken), ever) : ever;
  await writeMetadata(managed, {
    operation: null,
    snapshot: null,
    record: { snapshotsTaken: counted },
  });
  if (undone && group !== undefined) {
    await endGroup(engine, group);
  }
}

/** Deletes the record of a snapshot that a group must not have, if this take made it. Resolves to what is left. */
async function withoutRecord(
  managed: Managed,
  snapshot: SnapshotDocument | null,
  overlay: string,
): Promise<SnapshotDocument | null> {
  if (snapshot === null || snapshot.overlays[0] !== overlay) {
    return snapshot;
  }
  await deleteRecord(managed, snapshot, []);
  await removeRecordCopies(await listCopies(managed.metadata.folder), snapshot.name);
  return null;
}

/**
 * How far a take that made the overlay `file` came: libvirt recorded the snapshot, or only switched the domain to the
 * overlay, or neither. `below` is what the overlay stands on.
 */
export function stageOf({
  snapshot,
  file,
  below,
  activeLayer,
}: {
  readonly snapshot: Pick<SnapshotDocument, "overlays" | "frozen"> | null;
  readonly file: string;
  readonly below: string | null;
  readonly activeLayer: string;
}): "recorded" | "switched" | "unswitched" {
  if (snapshot !== null && (snapshot.overlays[0] === file || snapshot.frozen[0] === below)) {
    return "recorded";
  }
  return activeLayer === file ? "switched" : "unswitched";
}

/** Ends a take whose snapshot libvirt has recorded. */
async function completeTake(
  engine: LibvirtEngine,
  managed: Managed,
  {
    name,
    disks,
    switched,
  }: { readonly name: string; readonly disks: readonly TakenDisk[]; readonly switched: boolean },
): Promise<void> {
  for (const { file } of disks) {
    if (existsSync(file)) {
      await secure(file);
    }
  }
  // After a power cut, the record may be on disk and the definition not: then the domain would write to the
  // frozen layers.
  if (!switched && (await isShutOff(managed)) && (await areStray(engine, managed, disks))) {
    await switchTo(engine, managed, disks, ({ file }) => file);
  }
  await correctParent(engine, managed, name);
  const text = await readRecordText(managed.domain, name);
  if (text !== null) {
    await writeRecordCopy(managed.metadata.folder, text);
  }
}

type Undo = (engine: LibvirtEngine, managed: Managed, disks: readonly TakenDisk[]) => Promise<Element>;

/** Undoes a take that neither switched nor recorded. Resolves to the definition. */
const undoPreparation: Undo = async (engine, managed, disks) => {
  const { domain, document } = managed;
  // QEMU may have switched to the overlays without libvirt knowing. Then the guest writes to them.
  const behind = disks[0]?.below === readDisk(document) && (await domain.isActive());
  const users = behind ? await readFileUsers() : undefined;
  for (const { file } of users === undefined ? [] : disks) {
    if (await users?.has(file)) {
      return switchTo(engine, managed, disks, (disk) => disk.file);
    }
  }
  await removeStrays(engine, managed, filesOf(disks));
  return document;
};

/** Goes back to the old files, unless the guest has written to an overlay since. Resolves to the definition. */
const undoSwitch: Undo = async (engine, managed, disks) => {
  const { metadata } = managed;
  const known = disks.every(({ below }) => below !== null);
  if (known && (await isShutOff(managed)) && (await areStray(engine, managed, disks))) {
    const document = await switchTo(engine, managed, disks, ({ below }) => below ?? "");
    await removeStrays(engine, { ...managed, document }, filesOf(disks));
    return document;
  }
  const copies = await listCopies(metadata.folder);
  for (const { file, below } of disks) {
    if (below !== null) {
      await scheduleRemoval(managed, below, copies, stampIn(metadata.snapshot, file, below));
    }
  }
  return managed.document;
};

/** The stamp of the frozen file in the entry of a take, if the entry is of that overlay. */
function stampIn(entry: SnapshotEntry | undefined, file: string, below: string): Stamp | undefined {
  const noted = [entry, ...(entry?.disks ?? [])].find((disk) => disk?.overlay === file);
  const stamp = noted?.frozen === below ? parseStamp(noted.stamp) : undefined;
  // A guest went on writing it until it was switched to the overlay.
  const now = entry?.consistency === undefined ? undefined : parseStamp(stampText(below));
  return now?.inode === stamp?.inode ? (now ?? stamp) : stamp;
}

function filesOf(disks: readonly TakenDisk[]): string[] {
  return disks.map(({ file }) => file);
}

async function areStray(
  engine: LibvirtEngine,
  managed: Managed,
  disks: readonly TakenDisk[],
): Promise<boolean> {
  for (const { file } of disks) {
    if (!(await isStray(engine, managed, file))) {
      return false;
    }
  }
  return true;
}

async function takenByCopy(folder: string): Promise<number> {
  try {
    const xml = await readCopy(join(folder, DEFINITION));
    return xml === null ? 0 : (readMetadata(await parse(xml))?.record.snapshotsTaken ?? 0);
  } catch {
    return 0;
  }
}

async function backingOf(folder: string, file: string): Promise<string | null> {
  const header = await readHeader(file).catch(() => null);
  return header === null || header.backing === null ? null : layerOf(folder, header.backing);
}

/** Defines the domain on other files. A disk that another hand has taken away meanwhile stays away. */
async function switchTo(
  engine: LibvirtEngine,
  { document, metadata }: Managed,
  disks: readonly TakenDisk[],
  fileOf: (disk: TakenDisk) => string,
): Promise<Element> {
  for (const disk of disks) {
    if (findDisk(document, disk.target) !== undefined) {
      setDiskAt(document, disk.target, fileOf(disk));
    }
  }
  putMetadata(document, metadata);
  await define(engine, document);
  return document;
}

/**
 * Records the parent that follows from the layers. libvirt may refuse; `strata doctor` finds a wrong parent.
 */
async function correctParent(engine: LibvirtEngine, managed: Managed, name: string): Promise<void> {
  try {
    const snapshot = await lookupSnapshot(managed.domain, name);
    const frozen = snapshot?.frozen[0];
    if (snapshot === null || frozen === undefined) {
      return;
    }
    const parent = await standsOn(managed, await listRecords(managed.domain), frozen);
    if (parent !== snapshot.parent) {
      await redefine(managed, snapshot, { parent }, true);
    }
  } catch (error) {
    if (!isRefusal(error)) {
      throw error;
    }
    engine.log.warn(
      `libvirt could not record the parent of "${managed.name}.${name}": ${libvirtError(error).message}`,
    );
  }
}
