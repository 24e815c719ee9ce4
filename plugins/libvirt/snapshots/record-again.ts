import { stat } from "node:fs/promises";
import { failure, isStrataError } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { readGraph } from "../layers/graph.ts";
import { checkChain } from "../layers/layers.ts";
import { newLayerPath } from "../layers/names.ts";
import { cancelRemoval } from "../layers/pending-removals.ts";
import { readImage } from "../qcow2/image.ts";
import { type Domain, SnapshotCreateFlags } from "../rpc/index.ts";
import { managedTarget, readDisk, setDisk } from "../xml/disks.ts";
import { parse, prune, serialize } from "../xml/document.ts";
import { putMetadata } from "../xml/metadata.ts";
import {
  readSnapshot,
  recordDocument,
  recordedFormats,
  type SnapshotDocument,
  snapshotEntry,
} from "../xml/snapshot.ts";
import { setCurrentSnapshot } from "./current-snapshot.ts";
import { listCopies, type RecordCopy, readCopy, writeRecordCopy } from "./record-copies.ts";
import { listRecords, lookupSnapshot, ownersOf, standsOn } from "./records.ts";
import { redefine } from "./redefine.ts";

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
  const overlays = new Map([[managedTarget(document), overlay]]);
  const made = recordDocument(recorded, { name: snapshot, comment, parent, overlays, createdAt });
  const written = await domain.createSnapshot(serialize(made), SnapshotCreateFlags.REDEFINE);
  await writeRecordCopy(metadata.folder, { name: snapshot, frozen: [path], xml: await written.getXml() });
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
    const [layer] = frozen;
    if (layer !== undefined) {
      await recordLayer(managed, layer, snapshot);
    }
  }
  await cancelRemoval(
    metadata.folder,
    lost.flatMap(({ frozen }) => frozen),
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
async function recordAgain(domain: Domain, snapshot: SnapshotDocument): Promise<void> {
  const { document, parent, frozen } = snapshot;
  if (parent !== null && (await lookupSnapshot(domain, parent)) === null) {
    prune(document, (child) => child.name === "parent");
  }
  const formats = recordedFormats(snapshot);
  for (const file of frozen) {
    await readImage(file, formats.get(file) ?? "qcow2");
  }
  await domain.createSnapshot(serialize(document), SnapshotCreateFlags.REDEFINE);
}

/**
 * Records each snapshot's parent as its layer says, and makes the snapshot that the instance stands on
 * libvirt's current one.
 */
export async function correctParents(managed: Managed): Promise<void> {
  const { domain } = managed;
  const records = await listRecords(domain);
  const byFile = ownersOf(records);
  const graph = await readGraph(managed, records);
  for (const {
    name,
    parent,
    frozen: [frozen],
  } of records) {
    if (frozen === undefined) {
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
