import { dirname } from "node:path";
import type { Managed } from "../engine.ts";
import { readHeader } from "../qcow2/header.ts";
import type { RecordCopy } from "../snapshots/record-copies.ts";
import { readDisks } from "../xml/disks.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import { addPendingRemoval, isUnchanged, type Stamp } from "./pending-removals.ts";

/**
 * Notes that strata's own operation has let a disk of the instance go. What lies elsewhere, what a snapshot froze,
 * and a file that holds snapshots of QEMU's own is not ours to let go; nor is one that is not as it was when the
 * operation began, or of which that is not known.
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
  if (copies.some(({ frozen }) => frozen === path)) {
    return;
  }
  const header = await readHeader(path).catch(() => null);
  if (header === null || header.inside > 0) {
    return;
  }
  await addPendingRemoval(path, [], stamp);
}

/** The same of the layer that a snapshot froze and that is being deleted, with what stands on it elsewhere. */
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

/** What the children of a snapshot froze outside of the folder: it stands on the snapshot's layer, and no folder lists it. */
export function layersAbove(folder: string, children: readonly Pick<SnapshotDocument, "frozen">[]): string[] {
  return children.flatMap(({ frozen }) => (frozen !== null && dirname(frozen) !== folder ? [frozen] : []));
}
