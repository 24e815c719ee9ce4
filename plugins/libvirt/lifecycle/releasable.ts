import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import { failure, reasonOf } from "../../../lib/errors.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import { ENGINE } from "../errors.ts";
import { readGraph } from "../layers/graph.ts";
import { readLayer } from "../layers/layers.ts";
import { isLayerPath } from "../layers/names.ts";
import { readHeader } from "../qcow2/header.ts";
import { requireNoCheckpoints } from "../snapshots/checkpoints.ts";
import { reconcile } from "../snapshots/reconcile.ts";
import { RECORDS, type RecordCopy } from "../snapshots/record-copies.ts";
import { readDiskUsers, standsOn } from "../storage/disk-users.ts";
import { TEMPORARY } from "../storage/durable-file.ts";
import { listIfThere } from "../storage/pool.ts";
import { readDisk, readOtherDisks } from "../xml/disks.ts";

/** What an instance must be before it can be released. */
export const RELEASABLE = "Only stopped instances without snapshots can be released";

const NOT_YET = "not releasable";

/**
 * Rejects, with a remedy, while anything but the instance's own definition needs its own disk unchanged or
 * the files of its folder: a release changes the former and removes the latter. Checked before the entry is
 * written, and again when an interrupted release is finished.
 */
export async function requireReleasable(engine: LibvirtEngine, managed: Managed, own: string): Promise<void> {
  await requireNoSnapshots(managed);
  const copies = await reconcile(managed);
  await requireNoneLost(managed, copies);
  await requireNoOtherLayers(managed, copies);
  if (readDisk(managed.document) !== own) {
    await requireOverlay(managed, own);
    await requireUnshared(engine, managed, own);
  }
  await requireCommittable(managed, own);
}

export async function requireNoSnapshots({ name, domain }: Managed): Promise<void> {
  const count = await domain.snapshotCount();
  if (count > 0) {
    throw failure("HAS_SNAPSHOTS", { name, reason: RELEASABLE, count: `${count} of them` });
  }
}

/** A snapshot whose record libvirt has lost counts, and so may one whose copy cannot be read. */
async function requireNoneLost({ name, metadata }: Managed, copies: readonly RecordCopy[]): Promise<void> {
  const [lost] = copies;
  if (lost !== undefined) {
    throw failure("RECORDS_DIFFER", {
      name,
      reason: `libvirt has lost its record of snapshot "${lost.name}", which a release would remove`,
    });
  }
  const records = join(metadata.folder, RECORDS);
  const unread = (await listIfThere(records)).find((file) => !TEMPORARY.test(file));
  if (unread !== undefined) {
    throw failure("RECORDS_DIFFER", {
      name,
      reason: `${join(records, unread)} cannot be read, and may be the record of a snapshot that libvirt has lost; remove it if there is no snapshot to keep`,
    });
  }
}

/**
 * Rejects while the folder contains images that are not the instance's disk: they would be removed, or what
 * they stand on would change.
 */
export async function requireNoOtherLayers(managed: Managed, copies: readonly RecordCopy[]): Promise<void> {
  const { name, document, metadata } = managed;
  const { folder } = metadata;
  const other = readOtherDisks(document).find((path) => dirname(path) === folder);
  if (other !== undefined) {
    throw failure("WRONG_STATE", {
      name,
      reason: `Its disk ${other} is in the folder that a release removes; move it and run virsh edit`,
      state: NOT_YET,
    });
  }
  const graph = await readGraph(managed, copies);
  const [unreadable] = graph.unreadable.values();
  if (unreadable !== undefined) {
    throw unreadable;
  }
  const activeLayer = readDisk(document);
  const left = [...graph.headers.keys()].find((path) => dirname(path) === folder && path !== activeLayer);
  if (left === undefined) {
    return;
  }
  if (graph.pendingRemovals.has(left)) {
    throw failure("WRONG_STATE", {
      name,
      reason: `${left} is to be removed, but a process may have it open`,
      state: NOT_YET,
    });
  }
  throw failure("RECORDS_DIFFER", {
    name,
    reason: `neither a snapshot nor the instance refers to ${left}, which a release would remove`,
  });
}

/**
 * The active layer must be strata's and stand directly on the domain's own disk: only there may it be written
 * back.
 */
async function requireOverlay({ name, document, metadata }: Managed, own: string): Promise<void> {
  const activeLayer = readDisk(document);
  const { backing } = await readLayer(name, activeLayer);
  if (isLayerPath(metadata.folder, activeLayer) && backing === own) {
    return;
  }
  throw failure("RECORDS_DIFFER", {
    name,
    reason: `its disk ${activeLayer} stands on ${backing ?? "nothing"}, not on its own disk ${own}`,
  });
}

/**
 * Writing to its own disk must not change it under another domain, nor under another disk of the same domain.
 */
async function requireUnshared(
  engine: LibvirtEngine,
  { name, domain, document }: Managed,
  own: string,
): Promise<void> {
  const users = await readDiskUsers(engine.connection);
  const other = (await users(own)).find(({ uuid }) => uuid !== domain.uuid);
  if (other !== undefined) {
    throw failure("WRONG_STATE", {
      name,
      reason: `Its disk ${own} would change under the domain ${other.name}, which stands on it`,
      state: "not alone on it",
    });
  }
  for (const path of readOtherDisks(document)) {
    if (await standsOn(path, own)) {
      throw failure("WRONG_STATE", {
        name,
        reason: `Its disk ${own} would change under its disk ${path}, which stands on it`,
        state: NOT_YET,
      });
    }
  }
}

/** Rejects if something keeps the overlay from being merged into the domain's own disk. */
async function requireCommittable({ name, domain, document }: Managed, own: string): Promise<void> {
  await requireNoCheckpoints({ name, domain });
  if (readDisk(document) === own) {
    return;
  }
  await access(own, constants.R_OK | constants.W_OK).catch((error: unknown) => {
    const reason = reasonOf(error);
    throw failure(
      "WRONG_STATE",
      { name, reason: `Its own disk cannot be written (${reason})`, state: NOT_YET },
      error,
    );
  });
  const { inside, encrypted } = await readHeader(own);
  if (inside > 0) {
    throw failure("HAS_SNAPSHOTS", {
      name,
      reason: "Its own disk cannot be written without changing them",
      count: `${inside} of QEMU's own in ${own}`,
    });
  }
  if (encrypted) {
    throw failure("UNSUPPORTED", {
      what: `releasing "${name}"`,
      engine: ENGINE,
      reason: `its own disk ${own} is encrypted, and strata does not have the key`,
    });
  }
}
