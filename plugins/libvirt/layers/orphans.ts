import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Context } from "../../../lib/engine/contract.ts";
import { failure, isStrataError } from "../../../lib/errors.ts";
import { define, type LibvirtEngine, type Managed } from "../engine.ts";
import { requireShutOff } from "../lifecycle/power.ts";
import { readHeader } from "../qcow2/header.ts";
import { type Domain, SnapshotCreateFlags } from "../rpc/index.ts";
import { setCurrentSnapshot } from "../snapshots/current-snapshot.ts";
import { listCopies, type RecordCopy, readCopy, writeRecordCopy } from "../snapshots/record-copies.ts";
import { listRecords, lookupSnapshot, standsOn } from "../snapshots/records.ts";
import { redefine } from "../snapshots/redefine.ts";
import { removeIfThere } from "../storage/durable-file.ts";
import { readFileUsers } from "../storage/file-users.ts";
import { readDisk, setDisk } from "../xml/disks.ts";
import { parse, prune, serialize } from "../xml/document.ts";
import { putMetadata } from "../xml/metadata.ts";
import { readSnapshot, recordDocument, type SnapshotDocument, snapshotEntry } from "../xml/snapshot.ts";
import { collectLayers } from "./collect.ts";
import { readGraph } from "./graph.ts";
import { checkChain } from "./layers.ts";
import { newLayerPath } from "./names.ts";
import { addPendingRemoval, cancelRemoval } from "./pending-removals.ts";

/**
 * Makes libvirt record a snapshot that froze the layer, if nothing else says what the layer was; under the
 * snapshot's name, if that is known.
 */
export async function recordLayer(managed: Managed, path: string, known?: string): Promise<void> {
  const { domain, document, metadata, name } = managed;
  const graph = await readGraph(managed);
  await checkChain(name, graph, path);
  const records = await listRecords(domain);
  const taken = new Set([...records, ...(await listCopies(metadata.folder))].map((each) => each.name));
  let number = 1;
  while (taken.has(`recovered${number}`)) {
    number += 1;
  }
  const snapshot = known ?? `recovered${number}`;
  const [overlay = newLayerPath(metadata.folder)] = graph.dependants(path);
  const createdAt = Math.round((await stat(path)).mtimeMs);
  const comment = "Recorded again by strata doctor";
  const entry = snapshotEntry(comment, { createdAt, frozen: path, overlay });
  const recorded = await parse(serialize(document));
  setDisk(recorded, path);
  putMetadata(recorded, { ...metadata, snapshot: entry });
  const parent = await standsOn(managed, records, path);
  const made = recordDocument(recorded, { name: snapshot, comment, parent, overlay, createdAt });
  const written = await domain.createSnapshot(serialize(made), SnapshotCreateFlags.REDEFINE);
  await writeRecordCopy(metadata.folder, { name: snapshot, frozen: path, xml: await written.getXml() });
  await cancelRemoval(metadata.folder, [path]);
  await correctParents(managed);
}

/**
 * Makes libvirt record again the snapshots that it has lost, parents first. If a copy cannot be read,
 * everything about the snapshot but its name and layer is lost.
 */
export async function recordLost(managed: Managed, lost: readonly RecordCopy[]): Promise<void> {
  const { domain, name, metadata } = managed;
  const { documents, garbled } = await readLost(lost);
  const parents = [...documents].map(([snapshot, { parent }]) => [snapshot, parent] as const);
  const { order, circular } = recordOrder(new Map(parents));
  for (const snapshot of order) {
    const document = documents.get(snapshot);
    if (document !== undefined) {
      await recordAgain(domain, document);
    }
  }
  if (circular !== undefined) {
    throw failure("RECORDS_DIFFER", { name, reason: `snapshot "${circular}" would be its own ancestor` });
  }
  for (const { name: snapshot, frozen } of garbled) {
    if (frozen !== null) {
      await recordLayer(managed, frozen, snapshot);
    }
  }
  await cancelRemoval(
    metadata.folder,
    lost.flatMap(({ frozen }) => frozen ?? []),
  );
  await correctParents(managed);
}

/** The documents of lost records by name, and the copies that cannot be read. */
async function readLost(lost: readonly RecordCopy[]) {
  const documents = new Map<string, SnapshotDocument>();
  const garbled: RecordCopy[] = [];
  for (const copy of lost) {
    const xml = await readCopy(copy.path).catch((error: unknown) => {
      if (isStrataError(error) && error.code === "RECORDS_DIFFER") {
        return null;
      }
      throw error;
    });
    if (xml === null) {
      garbled.push(copy);
    } else {
      documents.set(copy.name, readSnapshot(await parse(xml)));
    }
  }
  return { documents, garbled };
}

/**
 * The snapshots, parents first. `circular` is one that would be its own ancestor, or descend from such a one; it
 * is not in the order.
 */
export function recordOrder(parents: ReadonlyMap<string, string | null>): {
  readonly order: readonly string[];
  readonly circular: string | undefined;
} {
  const waiting = new Map(parents);
  const order: string[] = [];
  for (let before = -1; waiting.size !== before; ) {
    before = waiting.size;
    for (const [snapshot, parent] of waiting) {
      if (parent === null || !waiting.has(parent)) {
        order.push(snapshot);
        waiting.delete(snapshot);
      }
    }
  }
  const [circular] = waiting.keys();
  return { order, circular };
}

/** Records a snapshot again: without its parent, if libvirt does not have that one. */
async function recordAgain(domain: Domain, { document, parent, frozen }: SnapshotDocument): Promise<void> {
  if (parent !== null && (await lookupSnapshot(domain, parent)) === null) {
    prune(document, (child) => child.name === "parent");
  }
  if (frozen !== null) {
    await readHeader(frozen);
  }
  await domain.createSnapshot(serialize(document), SnapshotCreateFlags.REDEFINE);
}

/** Gives up a snapshot whose record libvirt has lost. */
export async function giveUpRecord(
  engine: LibvirtEngine,
  managed: Managed,
  { path, frozen }: RecordCopy,
  context: Context,
): Promise<void> {
  const { folder } = managed.metadata;
  if (frozen !== null && dirname(frozen) === folder && frozen !== readDisk(managed.document)) {
    await addPendingRemoval(frozen);
  }
  await removeIfThere(path);
  await collectLayers(engine, managed.domain.uuid, context);
}

/**
 * Records each snapshot's parent as its layer says, and makes the snapshot that the instance stands on
 * libvirt's current one.
 */
export async function correctParents(managed: Managed): Promise<void> {
  const { domain } = managed;
  const records = await listRecords(domain);
  const byFile = new Map(records.map(({ frozen, name }) => [frozen, name]));
  const graph = await readGraph(managed, records);
  for (const { name, parent, frozen } of records) {
    if (frozen === null) {
      continue;
    }
    const below = graph.chain(frozen).slice(1);
    const actual = below.map((file) => byFile.get(file)).find((found) => found !== undefined) ?? null;
    const snapshot = actual === parent ? null : await lookupSnapshot(domain, name);
    if (snapshot !== null) {
      await redefine(managed, snapshot, { parent: actual }, false);
    }
  }
  const stands = await standsOn(managed, records, readDisk(managed.document)).catch(() => null);
  if (stands !== null) {
    await setCurrentSnapshot(managed, stands);
  }
}

/** Makes a layer the active one. The previous active layer stays where it is. */
export async function activateLayer(engine: LibvirtEngine, managed: Managed, path: string): Promise<void> {
  const { document, metadata, name } = managed;
  const graph = await readGraph(managed);
  if (!(await (await readFileUsers()).has(path))) {
    await requireShutOff(managed, "Only stopped instances can be given another disk");
  }
  await checkChain(name, graph, path);
  if (graph.dependants(path).length > 0) {
    throw failure("RECORDS_DIFFER", { name, reason: `other layers stand on ${path}` });
  }
  setDisk(document, path);
  putMetadata(document, metadata);
  await define(engine, document);
  await cancelRemoval(metadata.folder, [path]);
  await correctParents({ ...managed, document });
}

/** Gives up an orphaned layer, as the user requested. */
export async function giveUpLayer(
  engine: LibvirtEngine,
  managed: Managed,
  path: string,
  context: Context,
): Promise<void> {
  if (await (await readFileUsers()).has(path)) {
    throw failure("WRONG_STATE", {
      name: managed.name,
      reason: `${path} is open for writing and cannot be removed`,
      state: "Running",
    });
  }
  await addPendingRemoval(path);
  await collectLayers(engine, managed.domain.uuid, context);
}
