import { existsSync } from "node:fs";
import type { Removal } from "../../../lib/engine/contract.ts";
import { isStrataError } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { layerOf, readLayer } from "../layers/layers.ts";
import { type Domain, type DomainSnapshot, SnapshotCreateFlags, SnapshotDeleteFlags } from "../rpc/index.ts";
import { parse, serialize } from "../xml/document.ts";
import { readDisk } from "../xml/domain.ts";
import { readDocument } from "../xml/reader.ts";
import {
  amendedSnapshot,
  isRewritten,
  placeInText,
  placeOf,
  readSnapshot,
  type SnapshotChange,
  type SnapshotDocument,
  type SnapshotPlace,
} from "../xml/snapshot.ts";
import { readBackup, recordLost, removeBackup, withBackup } from "./record-backup.ts";
import { writeRecordCopy } from "./record-copies.ts";

/**
 * libvirt's snapshots of a domain, read whole, in no particular order. There may be thousands:
 * they are not kept for who reads the same again. One that is deleted meanwhile, which only readers without
 * a hold can see, is left out.
 */
export async function listSnapshots(domain: Domain): Promise<SnapshotDocument[]> {
  const snapshots = await domain.listSnapshots();
  const found = await Promise.all(
    snapshots.map((snapshot) => unlessGone(() => readRecord(snapshot, readDocument))),
  );
  return found.filter((snapshot) => snapshot !== null);
}

async function readRecord(snapshot: DomainSnapshot, read = parse): Promise<SnapshotDocument> {
  return asThere(readSnapshot(await read(await snapshot.getXml())));
}

/** What a piece resolves to that asks for a snapshot; null when there is none. */
async function unlessGone<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (isLibvirt(error, "NO_DOMAIN_SNAPSHOT")) {
      return null;
    }
    throw error;
  }
}

/** The snapshots whose parent is the one of that name, read whole. */
export async function listChildren(domain: Domain, name: string): Promise<SnapshotDocument[]> {
  const children = await domain.snapshotOfName(name).listChildren();
  return Promise.all(children.map((child) => readRecord(child)));
}

/** A record as libvirt gives it, with what its snapshot froze. */
export interface SnapshotText extends SnapshotPlace {
  readonly xml: string;
}

/** All records with where each snapshot is. Those whose text tells it are not parsed: that is what takes long. */
export async function listRecords(domain: Domain): Promise<SnapshotText[]> {
  const found = await Promise.all(
    (await domain.listSnapshots()).map((snapshot) => readRecordText(domain, snapshot.name)),
  );
  return found.filter((record) => record !== null);
}

/** The record of that name with where its snapshot is, or null. */
export async function readRecordText(domain: Domain, name: string): Promise<SnapshotText | null> {
  const xml = await unlessGone(() => domain.snapshotOfName(name).getXml());
  if (xml === null) {
    return null;
  }
  const place = placeInText(name, xml) ?? placeOf(readSnapshot(await parse(xml)));
  return { ...asThere(place), xml };
}

/**
 * What a snapshot froze, by what is on the disk: libvirt's own deletion of a snapshot brings a layer and the one above
 * together under the lower one's name and says so in its own record, where our note still has the other.
 */
function asThere<T extends Pick<SnapshotPlace, "frozen" | "recorded">>(place: T): T {
  const { frozen, recorded } = place;
  if (frozen === null || frozen === recorded || recorded === "") {
    return place;
  }
  return !existsSync(frozen) && existsSync(recorded) ? { ...place, frozen: recorded } : place;
}

/** The snapshot of that name, or null. */
export async function lookupSnapshot(domain: Domain, name: string): Promise<SnapshotDocument | null> {
  return unlessGone(() => readRecord(domain.snapshotOfName(name)));
}

/** What a deletion of the snapshot of that name is about, or null. */
export async function lookupRemoval(domain: Domain, name: string): Promise<Removal | null> {
  return unlessGone(async () => {
    const snapshot = domain.snapshotOfName(name);
    const [{ parent }, children] = await Promise.all([readRecord(snapshot), snapshot.listChildren()]);
    return { name, parent, children: children.map((child) => child.name) };
  });
}

/** Name of the snapshot that libvirt marks as current, or null. */
export async function currentName(domain: Domain): Promise<string | null> {
  return (await domain.currentSnapshot())?.name ?? null;
}

/**
 * True where libvirt's own tools restore external snapshots, as they do from 9.9 on, and remove the overlay then that
 * the current snapshot's record names. Before, the same record would have them merge a layer that other snapshots
 * stand on.
 */
async function restores({ connection }: Domain): Promise<boolean> {
  const { major, minor } = await connection.libVersion();
  return major > 9 || (major === 9 && minor >= 9);
}

/**
 * Writes a snapshot's record anew, with other parent or comment, or as a second one of another name. A restore by
 * libvirt's own tools removes the overlay that the current snapshot's record names: where the instance was restored
 * to it that is some other snapshot's layer, so the disk that the instance writes is put in its place.
 */
export async function redefine(
  managed: Managed,
  snapshot: SnapshotDocument,
  wanted: SnapshotChange,
  current: boolean,
): Promise<void> {
  const activeLayer = readDisk(managed.document);
  const exposed = current && (await isExposed(managed, snapshot));
  const change = exposed ? { ...wanted, overlay: activeLayer } : wanted;
  const flags = SnapshotCreateFlags.REDEFINE | (current ? SnapshotCreateFlags.CURRENT : 0);
  const { domain } = managed;
  const create = (given: SnapshotChange) =>
    domain.createSnapshot(serialize(amendedSnapshot(snapshot, given)), flags);
  const write = () =>
    create(change).catch(async (error: unknown) => {
      // Under a parent whose record libvirt has lost it records nothing; `strata doctor` puts both back.
      const parent = change.parent === undefined ? snapshot.parent : change.parent;
      if (parent === null || !isLibvirt(error, "INVALID_ARG")) {
        throw error;
      }
      if ((await lookupSnapshot(domain, parent)) !== null) {
        throw error;
      }
      return create({ ...change, parent: null });
    });
  const written = change.name === undefined ? await withBackup(managed, snapshot, write) : await write();
  const { folder } = managed.metadata;
  const { name, frozen } = readSnapshot(amendedSnapshot(snapshot, change));
  await writeRecordCopy(folder, { name, frozen, xml: await written.getXml() });
}

/** Has each of libvirt's records name the file that its snapshot froze. */
export async function correctRecords(managed: Managed): Promise<void> {
  const current = await currentName(managed.domain);
  for (const { name } of (await listRecords(managed.domain)).filter(isRewritten)) {
    const snapshot = await lookupSnapshot(managed.domain, name);
    if (snapshot === null || snapshot.frozen === null) {
      continue;
    }
    await redefine(managed, snapshot, { recorded: snapshot.frozen }, name === current);
  }
}

/** True for a current snapshot whose record names an overlay that is there and is not the instance's disk. */
export async function isExposed(
  { domain, document }: Managed,
  { overlay, frozen }: Pick<SnapshotDocument, "overlay" | "frozen">,
): Promise<boolean> {
  const activeLayer = readDisk(document);
  if (frozen === null || frozen === activeLayer || overlay === "" || overlay === activeLayer) {
    return false;
  }
  return existsSync(overlay) && (await restores(domain));
}

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

/** True where libvirt will not write a record, however often it is asked: beside checkpoints, or without its parent. */
export function isRefusal(error: unknown): boolean {
  return isLibvirt(error, "OPERATION_UNSUPPORTED", "INVALID_ARG");
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

/**
 * Removes a snapshot's record and nothing else; its children get its parent. Two traps of libvirt 9.0 are
 * kept away from. Without METADATA_ONLY it merges layers that other branches stand on, and reports
 * success. With it, it still rewrites the recorded disk of every descendant to the file below, as if it
 * had merged: restoring a child would then bring back its parent's contents. So the children are moved
 * away first, and what is deleted has no descendants.
 */
export async function deleteRecord(
  managed: Managed,
  { name, parent }: Pick<SnapshotDocument, "name" | "parent">,
  children: readonly SnapshotDocument[],
): Promise<void> {
  const { domain } = managed;
  const current = children.length === 0 ? null : await currentName(domain);
  for (const child of children) {
    await redefine(managed, child, { parent }, child.name === current);
  }
  try {
    await domain.snapshotOfName(name).delete(SnapshotDeleteFlags.METADATA_ONLY);
  } catch (error) {
    if (!isLibvirt(error, "NO_DOMAIN_SNAPSHOT")) {
      throw error;
    }
  }
}

/**
 * The snapshot that `head` stands on: the nearest file below it that a snapshot froze. Layers of deleted
 * snapshots in between are passed over, since a deletion gives what stood on it its parent.
 */
export async function standsOn(
  managed: Managed,
  snapshots: readonly Pick<SnapshotDocument, "name" | "frozen">[],
  activeLayer: string,
): Promise<string | null> {
  const byFile = new Map(snapshots.map((snapshot) => [snapshot.frozen, snapshot.name]));
  const seen = new Set<string>();
  // A definition without the disk stands on nothing.
  for (
    let file: string | null = activeLayer === "" ? null : activeLayer;
    file !== null && !seen.has(file);
  ) {
    seen.add(file);
    const header: { backing: string | null } = await readLayer(managed.name, file);
    if (header.backing === null) {
      return null;
    }
    const backing = layerOf(managed.metadata.folder, header.backing);
    const name = byFile.get(backing);
    if (name !== undefined) {
      return name;
    }
    file = backing;
  }
  return null;
}
