import { basename } from "node:path";
import type { Removal } from "../../lib/backend/contract.ts";
import type { Managed } from "./engine.ts";
import { isLibvirt } from "./errors.ts";
import { layerOf, readLayer } from "./layers.ts";
import { type Domain, type DomainSnapshot, SnapshotCreateFlags, SnapshotDeleteFlags } from "./rpc/index.ts";
import { readSaved, recordForgotten, removeSaved, whileSaved } from "./saved-record.ts";
import { parse, serialize } from "./xml/document.ts";
import { readDisk } from "./xml/domain.ts";
import { readDocument } from "./xml/reader.ts";
import {
  amendedSnapshot,
  frozenInText,
  isRewritten,
  placeInText,
  placeOf,
  readSnapshot,
  type SnapshotDocument,
  type SnapshotPlace,
} from "./xml/snapshot.ts";

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
  return readSnapshot(await read(await snapshot.getXml()));
}

/** What a piece resolves to that asks for a snapshot; null when there is none. */
async function unlessGone<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (isLibvirt(error, "NO_DOMAIN_SNAPSHOT")) return null;
    throw error;
  }
}

/** The snapshots whose parent is the one of that name, read whole. */
export async function listChildren(domain: Domain, name: string): Promise<SnapshotDocument[]> {
  const children = await domain.snapshotOfName(name).listChildren();
  return Promise.all(children.map((child) => readRecord(child)));
}

/** What one snapshot froze, with the text of its record. */
export interface FrozenRecord {
  readonly name: string;
  readonly frozen: string | null;
  readonly xml: string;
}

/** What each snapshot froze. Records whose text tells it are not parsed: that is what takes long. */
export async function listFrozen(domain: Domain): Promise<FrozenRecord[]> {
  return Promise.all(
    (await listTexts(domain)).map(async ({ name, xml }) => {
      const frozen = frozenInText(xml) ?? readSnapshot(await parse(xml)).frozen;
      return { name, frozen, xml };
    }),
  );
}

/** Where each snapshot is. */
export async function listPlaces(domain: Domain): Promise<SnapshotPlace[]> {
  return Promise.all(
    (await listTexts(domain)).map(
      async ({ name, xml }) => placeInText(name, xml) ?? placeOf(readSnapshot(await parse(xml))),
    ),
  );
}

async function listTexts(domain: Domain): Promise<{ readonly name: string; readonly xml: string }[]> {
  const found = await Promise.all(
    (await domain.listSnapshots()).map(async (snapshot) => {
      const xml = await unlessGone(() => snapshot.getXml());
      return xml === null ? [] : [{ name: snapshot.name, xml }];
    }),
  );
  return found.flat();
}

/** True when one of the records says that it froze the file: those that do not even name it are not parsed. */
export async function isFrozenIn(
  records: readonly Pick<FrozenRecord, "xml">[],
  file: string,
): Promise<boolean> {
  const naming = records.filter(({ xml }) => xml.includes(basename(file)));
  const read = await Promise.all(naming.map(async ({ xml }) => readSnapshot(await parse(xml))));
  return read.some(({ frozen }) => frozen === file);
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

/** Writes a snapshot's record anew, with other parent or comment, or as a second one of another name. */
export async function redefine(
  managed: Managed,
  snapshot: SnapshotDocument,
  change: Parameters<typeof amendedSnapshot>[1],
  current: boolean,
): Promise<void> {
  const flags = SnapshotCreateFlags.REDEFINE | (current ? SnapshotCreateFlags.CURRENT : 0);
  const write = () => managed.domain.createSnapshot(serialize(amendedSnapshot(snapshot, change)), flags);
  if (change.name === undefined) await whileSaved(managed, snapshot, write);
  else await write();
}

/** Has each of libvirt's records name the file that its snapshot froze. */
export async function correctRecords(managed: Managed): Promise<void> {
  const current = await currentName(managed.domain);
  for (const { name } of (await listPlaces(managed.domain)).filter(isRewritten)) {
    const snapshot = await lookupSnapshot(managed.domain, name);
    if (snapshot === null || snapshot.frozen === null) continue;
    await redefine(managed, snapshot, { recorded: snapshot.frozen }, name === current);
  }
}

/** Moves libvirt's current mark to a snapshot. */
export async function markCurrent(managed: Managed, name: string): Promise<void> {
  const snapshot = await lookupSnapshot(managed.domain, name);
  if (snapshot !== null) await redefine(managed, snapshot, {}, true);
}

/**
 * Gives libvirt back a record that it has forgotten. One with children has left them with a pointer to
 * nowhere in libvirtd's memory, where no call can mend it: rejects with RECORD_FORGOTTEN until libvirtd has
 * been started again and has read its records.
 */
export async function takeUpSaved(managed: Managed): Promise<void> {
  const saved = await readSaved(managed);
  if (saved === undefined) return;
  const all = await listSnapshots(managed.domain);
  if (saved !== null && !all.some(({ name }) => name === saved.name)) {
    if (all.some(({ parent }) => parent === saved.name)) throw recordForgotten(managed, saved);
    await managed.domain.createSnapshot(serialize(saved.document), SnapshotCreateFlags.REDEFINE);
  }
  await removeSaved(managed);
  await keepMark(managed);
}

/** Has libvirt mark a snapshot again where it marks none: it gives its mark up when it cannot write it. */
export async function keepMark(managed: Managed): Promise<void> {
  const { domain, document } = managed;
  if ((await currentName(domain)) !== null) return;
  const snapshots = await listFrozen(domain);
  const position = snapshots.length === 0 ? null : await standsOn(managed, snapshots, readDisk(document));
  if (position !== null) await markCurrent(managed, position);
}

/**
 * Removes a snapshot's record and nothing else; its children get its parent. Two traps of libvirt 9.0 are
 * kept away from. Without METADATA_ONLY it merges layers that other branches stand on, and reports
 * success. With it, it still rewrites the recorded disk of every descendant to the file below, as if it
 * had merged: restoring a child would then bring back its parent's contents. So the children are moved
 * away first, and what is deleted has no descendants.
 */
export async function deleteRecord(managed: Managed, name: string): Promise<void> {
  const { domain } = managed;
  const snapshot = await lookupSnapshot(domain, name);
  if (snapshot === null) return;
  const current = await currentName(domain);
  for (const child of await listChildren(domain, name))
    await redefine(managed, child, { parent: snapshot.parent }, child.name === current);
  try {
    await domain.snapshotOfName(name).delete(SnapshotDeleteFlags.METADATA_ONLY);
  } catch (error) {
    if (!isLibvirt(error, "NO_DOMAIN_SNAPSHOT")) throw error;
  }
}

/**
 * The snapshot that `head` stands on: the nearest file below it that a snapshot froze. Layers of deleted
 * snapshots in between are passed over, since a deletion gives what stood on it its parent.
 */
export async function standsOn(
  managed: Managed,
  snapshots: readonly Pick<SnapshotDocument, "name" | "frozen">[],
  head: string,
): Promise<string | null> {
  const byFile = new Map(snapshots.map((snapshot) => [snapshot.frozen, snapshot.name]));
  const seen = new Set<string>();
  for (let file: string | null = head; file !== null && !seen.has(file); ) {
    seen.add(file);
    const header: { backing: string | null } = await readLayer(managed.name, file);
    if (header.backing === null) return null;
    const backing = layerOf(managed.metadata.folder, header.backing);
    const name = byFile.get(backing);
    if (name !== undefined) return name;
    file = backing;
  }
  return null;
}
