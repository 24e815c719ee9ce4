import { existsSync } from "node:fs";
import { join } from "node:path";
import { isShutOff } from "../domain/view.ts";
import { define, type LibvirtEngine, type Managed, writeMetadata } from "../engine.ts";
import { libvirtError } from "../errors.ts";
import { dropPacked } from "../firmware/archive.ts";
import { layerOf } from "../layers/names.ts";
import { parseStamp } from "../layers/pending-removals.ts";
import { scheduleRemoval } from "../layers/schedule-removal.ts";
import { isStray, removeStray } from "../layers/stray.ts";
import { readHeader } from "../qcow2/header.ts";
import { secure } from "../qcow2/qemu-img.ts";
import { keepCurrentSnapshot } from "../snapshots/current-snapshot.ts";
import { DEFINITION, listCopies, readCopy, writeRecordCopy } from "../snapshots/record-copies.ts";
import { listRecords, lookupSnapshot, readRecordText, standsOn } from "../snapshots/records.ts";
import { isRefusal, redefine } from "../snapshots/redefine.ts";
import { readFileUsers } from "../storage/file-users.ts";
import { readDisk, setDisk } from "../xml/disks.ts";
import { type Element, parse } from "../xml/document.ts";
import { putMetadata, readMetadata } from "../xml/metadata.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import type { OperationOf } from "./entry.ts";

/**
 * Finishes or undoes an interrupted take, depending on what exists. The entry may also have come back with an
 * old definition, long after the take ended: then it is only removed.
 */
export async function finishTake(
  engine: LibvirtEngine,
  managed: Managed,
  { name, file, taken }: Pick<OperationOf<"take">, "name" | "file" | "taken">,
): Promise<void> {
  const { domain, metadata, document } = managed;
  const activeLayer = readDisk(document);
  const below = await backingOf(metadata.folder, file);
  const snapshot = await lookupSnapshot(domain, name);
  const stage = stageOf({ snapshot, file, below, activeLayer });
  if (stage === "recorded") {
    await completeTake(engine, managed, { name, file, switched: activeLayer !== snapshot?.frozen });
  } else {
    const undo = stage === "switched" ? undoSwitch : undoPreparation;
    await keepCurrentSnapshot({ ...managed, document: await undo(engine, managed, file, below) });
    await dropPacked(managed, metadata.snapshot?.firmware);
  }
  // An old definition has an old counter. The copy of the definition has that of strata's last operation.
  const ever = Math.max(metadata.record.snapshotsTaken, await takenByCopy(metadata.folder));
  const counted = stage === "recorded" ? Math.max(Number(taken), ever) : ever;
  await writeMetadata(managed, {
    operation: null,
    snapshot: null,
    record: { snapshotsTaken: counted },
  });
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
  readonly snapshot: Pick<SnapshotDocument, "overlay" | "frozen"> | null;
  readonly file: string;
  readonly below: string | null;
  readonly activeLayer: string;
}): "recorded" | "switched" | "unswitched" {
  if (snapshot !== null && (snapshot.overlay === file || snapshot.frozen === below)) {
    return "recorded";
  }
  return activeLayer === file ? "switched" : "unswitched";
}

/** Ends a take whose snapshot libvirt has recorded. */
async function completeTake(
  engine: LibvirtEngine,
  managed: Managed,
  { name, file, switched }: { readonly name: string; readonly file: string; readonly switched: boolean },
): Promise<void> {
  if (existsSync(file)) {
    await secure(file);
  }
  // After a power cut, the record may be on disk and the definition not: then the domain would write to the
  // frozen layer.
  if (!switched && (await isShutOff(managed)) && (await isStray(engine, managed, file))) {
    await switchTo(engine, managed, file);
  }
  await correctParent(engine, managed, name);
  const text = await readRecordText(managed.domain, name);
  if (text !== null) {
    await writeRecordCopy(managed.metadata.folder, text);
  }
}

type Undo = (engine: LibvirtEngine, managed: Managed, file: string, below: string | null) => Promise<Element>;

/** Undoes a take that neither switched nor recorded. Resolves to the definition. */
const undoPreparation: Undo = async (engine, managed, file, below) => {
  const { domain, document } = managed;
  // QEMU may have switched to the overlay without libvirt knowing. Then the guest writes to it.
  const behind = below === readDisk(document) && (await domain.isActive());
  if (behind && (await (await readFileUsers()).has(file))) {
    return switchTo(engine, managed, file);
  }
  await removeStray(engine, managed, file);
  return document;
};

/** Goes back to the old file, unless the guest has written to the overlay since. Resolves to the definition. */
const undoSwitch: Undo = async (engine, managed, file, below) => {
  const { metadata } = managed;
  if (below === null) {
    return managed.document;
  }
  if ((await isShutOff(managed)) && (await isStray(engine, managed, file))) {
    const document = await switchTo(engine, managed, below);
    await removeStray(engine, { ...managed, document }, file);
    return document;
  }
  const { overlay, frozen, stamp } = metadata.snapshot ?? {};
  const known = overlay === file && frozen === below ? parseStamp(stamp) : undefined;
  await scheduleRemoval(managed, below, await listCopies(metadata.folder), known);
  return managed.document;
};

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

async function switchTo(engine: LibvirtEngine, { document, metadata }: Managed, file: string) {
  setDisk(document, file);
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
    if (snapshot === null || snapshot.frozen === null) {
      return;
    }
    const parent = await standsOn(managed, await listRecords(managed.domain), snapshot.frozen);
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
