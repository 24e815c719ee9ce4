import { dirname } from "node:path";
import type { Managed } from "../engine.ts";
import { readHeader } from "../qcow2/header.ts";
import type { RecordCopy } from "../snapshots/record-copies.ts";
import { readDisks } from "../xml/disks.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import { addPendingRemoval, isUnchanged, type Stamp } from "./pending-removals.ts";

/**
 * Schedules the removal of a disk that strata's own operation has given up. Not if it is elsewhere, if a
 * snapshot froze it, if it contains QEMU's own snapshots, or unless it is known to be unchanged since the
 * operation began.
 */
export async function scheduleRemoval(
  { metadata, document }: Managed,
  path: string,
  copies: readonly Pick<RecordCopy, "frozen">[],
  stamp: Stamp | undefined,
): Promise<void> {
  if (dirname(path) !== metadata.folder || readDisks(document).includes(path)) {
    return;
  }
  if (stamp === undefined || !isUnchanged(path, stamp)) {
    return;
  }
  if (copies.some(({ frozen }) => frozen.includes(path))) {
    return;
  }
  const header = await readHeader(path).catch(() => null);
  if (header === null || header.inside > 0) {
    return;
  }
  await addPendingRemoval(path, [], stamp);
}

/**
 * Schedules the removal of the layer of a snapshot that is being deleted, with the files elsewhere that stand
 * on it.
 */
export async function scheduleFrozenRemoval(
  { metadata, document }: Managed,
  path: string,
  above: readonly string[],
  stamp: Stamp | undefined,
): Promise<void> {
  if (dirname(path) !== metadata.folder || readDisks(document).includes(path)) {
    return;
  }
  if (stamp !== undefined && isUnchanged(path, stamp)) {
    await addPendingRemoval(path, above, stamp);
  }
}

/**
 * Layers of a snapshot's children outside the folder: they stand on the snapshot's layer, and listing the
 * folder does not find them.
 */
export function layersAbove(folder: string, children: readonly Pick<SnapshotDocument, "frozen">[]): string[] {
  return children.flatMap(({ frozen }) => frozen.filter((file) => dirname(file) !== folder));
}
