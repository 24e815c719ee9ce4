import { existsSync } from "node:fs";
import type { Managed } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { newLayerPath } from "../layers/names.ts";
import { type Domain, SnapshotCreateFlags, SnapshotDeleteFlags } from "../rpc/index.ts";
import { readDiskAt } from "../xml/disks.ts";
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
 * True if libvirt's own tools can restore external snapshots, as they do from 9.9 on. They then remove the
 * overlay that the current snapshot's record names. In older versions, the same record would make them merge
 * a layer that other snapshots stand on.
 */
async function restores({ connection }: Domain): Promise<boolean> {
  const { major, minor } = await connection.libVersion();
  return major > 9 || (major === 9 && minor >= 9);
}

/**
 * Rewrites a snapshot's record with another parent or comment, or records it a second time with another name.
 * A restore by libvirt's own tools removes the overlay that the current snapshot's record names. After a
 * restore, that is a layer of another snapshot, so the active layer is recorded instead.
 */
export async function redefine(
  managed: Managed,
  snapshot: SnapshotDocument,
  wanted: SnapshotChange,
  current: boolean,
): Promise<void> {
  const exposed = current && (await isExposed(managed, snapshot));
  const change = exposed ? { ...wanted, overlays: presentLayers(managed, snapshot) } : wanted;
  const flags = SnapshotCreateFlags.REDEFINE | (current ? SnapshotCreateFlags.CURRENT : 0);
  const { domain } = managed;
  const create = (given: SnapshotChange) =>
    domain.createSnapshot(serialize(amendedSnapshot(snapshot, given)), flags);
  const write = () =>
    create(change).catch(async (error: unknown) => {
      // libvirt records nothing under a parent whose record it has lost; `strata doctor` brings both back.
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

/** Corrects those of libvirt's records that name another file than the one that the snapshot froze. */
export async function correctRecords(managed: Managed): Promise<void> {
  const current = await currentName(managed.domain);
  for (const { name } of (await listRecords(managed.domain)).filter(isRewritten)) {
    const snapshot = await lookupSnapshot(managed.domain, name);
    if (snapshot === null || snapshot.frozen.length === 0) {
      continue;
    }
    await redefine(managed, snapshot, { recorded: snapshot.frozen }, name === current);
  }
}

/** True for a current snapshot whose record names an overlay that exists and is not the disk's active layer. */
export async function isExposed(
  { domain, document }: Pick<Managed, "domain" | "document">,
  { targets, frozen, overlays }: Pick<SnapshotDocument, "targets" | "overlays" | "frozen">,
): Promise<boolean> {
  const exposed = targets.some((target, at) => {
    const activeLayer = readDiskAt(document, target);
    const overlay = overlays[at] ?? "";
    const safe = frozen[at] === activeLayer || overlay === "" || overlay === activeLayer;
    return !safe && existsSync(overlay);
  });
  return exposed && (await restores(domain));
}

/**
 * The active layers of a snapshot's disks. For one that the instance does not have any more, a file that does not
 * exist, so that nothing is removed in its place.
 */
function presentLayers({ document, metadata }: Managed, { targets }: SnapshotDocument): string[] {
  return targets.map((target) => readDiskAt(document, target) || newLayerPath(metadata.folder));
}

/**
 * True if libvirt refuses to write a record, however often it is asked: beside checkpoints, or without its
 * parent.
 */
export function isRefusal(error: unknown): boolean {
  return isLibvirt(error, "OPERATION_UNSUPPORTED", "INVALID_ARG");
}

/**
 * Deletes a snapshot's record and nothing else; its children move to its parent. This avoids two traps of
 * libvirt 9.0. Without METADATA_ONLY, it merges layers that other branches stand on, and reports success.
 * With it, it still changes the recorded disk of every descendant to the file below, as if it had merged:
 * restoring a child would then bring back its parent's contents. So the children are moved first, and the
 * snapshot that is deleted has no descendants.
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
