import { existsSync } from "node:fs";
import type { Managed } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { type Domain, SnapshotCreateFlags, SnapshotDeleteFlags } from "../rpc/index.ts";
import { readDisk } from "../xml/disks.ts";
import { serialize } from "../xml/document.ts";
import {
  amendedSnapshot,
  isRewritten,
  readSnapshot,
  type SnapshotChange,
  type SnapshotDocument,
} from "../xml/snapshot.ts";
import { withBackup } from "./record-backup.ts";
import { writeRecordCopy } from "./record-copies.ts";
import { currentName, listRecords, lookupSnapshot } from "./records.ts";

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

/** True where libvirt will not write a record, however often it is asked: beside checkpoints, or without its parent. */
export function isRefusal(error: unknown): boolean {
  return isLibvirt(error, "OPERATION_UNSUPPORTED", "INVALID_ARG");
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
