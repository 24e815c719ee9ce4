import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { failure, reasonOf } from "../../../lib/errors.ts";
import { quote } from "../../../lib/util/quote.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import { ENGINE } from "../errors.ts";
import { readGraph } from "../layers/graph.ts";
import type { LayerGraph } from "../layers/layer-graph.ts";
import { readLayer } from "../layers/layers.ts";
import { isLayerPath } from "../layers/names.ts";
import { type Format, readHeader } from "../qcow2/header.ts";
import { readImage } from "../qcow2/image.ts";
import { requireNoCheckpoints } from "../snapshots/checkpoints.ts";
import { reconcile } from "../snapshots/reconcile.ts";
import { RECORDS, type RecordCopy } from "../snapshots/record-copies.ts";
import { readDiskUsers, standsOn } from "../storage/disk-users.ts";
import { TEMPORARY } from "../storage/durable-file.ts";
import { listIfThere } from "../storage/pool.ts";
import { activeLayers, managedTarget, readDisks, readOtherDisks, writtenDisks } from "../xml/disks.ts";
import { ownFormats } from "../xml/own-files.ts";

/** What an instance must be before it can be released. */
export const RELEASABLE = "Only stopped instances without snapshots can be released";

const NOT_YET = "not releasable";

/** A disk that a release gives back. */
export interface OwnDisk {
  readonly target: string;
  /** Its active layer; `own` if strata has not written beside that. */
  readonly file: string;
  /** The file that the domain brought along. */
  readonly own: string;
}

/**
 * The disks of an adopted domain, each with the file that it brought along: of a further disk, the first one
 * below its active layer that is not in the instance's folder. Rejects for a disk of strata's.
 */
export async function ownDisks(managed: Managed, adopted: string): Promise<OwnDisk[]> {
  const { name, document, metadata } = managed;
  const [system, ...further] = writtenDisks(document, metadata);
  const inFolder = further.filter(({ file }) => dirname(file) === metadata.folder);
  const graph = inFolder.length === 0 ? undefined : await readGraph(managed);
  const found = inFolder.map(({ target, file }) => {
    const own = graph === undefined ? undefined : ownFileBelow(graph, file);
    if (own === undefined) {
      throw failure("WRONG_STATE", {
        name,
        reason: `Its disk ${target}, ${file}, is in the folder that a release removes; move it and run virsh edit, or remove it: \`strata disk remove ${quote(name)} ${quote(target)}\``,
        state: NOT_YET,
      });
    }
    return { target, file, own };
  });
  return [
    { target: system?.target ?? managedTarget(document), file: system?.file ?? "", own: adopted },
    ...found,
  ];
}

/**
 * Rejects, with a remedy, while anything but the instance's own definition needs its own disks unchanged or
 * the files of its folder: a release changes the former and removes the latter. Checked before the entry is
 * written, and again when an interrupted release is finished. Resolves to the disks to give back.
 */
export async function requireReleasable(
  engine: LibvirtEngine,
  managed: Managed,
  adopted: string,
): Promise<OwnDisk[]> {
  await requireNoSnapshots(managed);
  const copies = await reconcile(managed);
  await requireNoneLost(managed, copies);
  const disks = await ownDisks(managed, adopted);
  await requireNoOtherLayers(managed, copies);
  await requireNoCheckpoints(managed);
  for (const disk of disks) {
    if (disk.file !== disk.own) {
      await requireReturnable(engine, managed, disk);
    }
  }
  return disks;
}

/** The file that a disk was brought along with: the first of its chain that is not in the instance's folder. */
export function ownFileBelow(graph: LayerGraph, file: string): string | undefined {
  return graph.chain(file).find((path) => dirname(path) !== graph.folder);
}

/** Rejects if something keeps the active layer of a disk from being merged into the disk's own file. */
export async function requireReturnable(
  engine: LibvirtEngine,
  managed: Managed,
  disk: OwnDisk,
): Promise<void> {
  await requireOverlay(managed, disk);
  await requireUnshared(engine, managed, disk);
  await requireCommittable(managed, disk);
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
  const active = activeLayers(document);
  const other = readOtherDisks(document).find((path) => dirname(path) === folder && !active.includes(path));
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
  const left = [...graph.headers.keys()].find((path) => dirname(path) === folder && !active.includes(path));
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
async function requireOverlay({ name, metadata }: Managed, disk: OwnDisk): Promise<void> {
  const { file: activeLayer, own } = disk;
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
  { name, domain, document, metadata }: Managed,
  { file, own }: OwnDisk,
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
  const formats = ownFormats(document, metadata);
  for (const path of readDisks(document).filter((each) => each !== file)) {
    if (await standsOn(path, own, formats.get(path) ?? "qcow2")) {
      throw failure("WRONG_STATE", {
        name,
        reason: `Its disk ${own} would change under its disk ${path}, which stands on it`,
        state: NOT_YET,
      });
    }
  }
}

/** Rejects if the disk's own file cannot be written, or holds more than its present contents. */
async function requireCommittable(managed: Managed, { file, own }: OwnDisk): Promise<void> {
  const { name } = managed;
  await access(own, constants.R_OK | constants.W_OK).catch((error: unknown) => {
    const reason = reasonOf(error);
    throw failure(
      "WRONG_STATE",
      { name, reason: `Its own disk cannot be written (${reason})`, state: NOT_YET },
      error,
    );
  });
  const format = await formatBelow(managed, file, own);
  const { inside, encrypted, virtualSize } = await readImage(own, format);
  await requireLargeEnough(managed, { file, own }, virtualSize);
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

/** The format of a disk's own file, by the metadata and by the header of the layer on it: raw if either says so. */
async function formatBelow({ document, metadata }: Managed, file: string, own: string): Promise<Format> {
  const { backingFormat } = await readHeader(file);
  return backingFormat === "raw" || ownFormats(document, metadata).get(own) === "raw" ? "raw" : "qcow2";
}

/** A device of the host does not grow with what is written into it. */
async function requireLargeEnough(
  { name }: Managed,
  { file, own }: Pick<OwnDisk, "file" | "own">,
  size: bigint,
): Promise<void> {
  const needed = (await readHeader(file)).virtualSize;
  if (needed > size && (await stat(own)).isBlockDevice()) {
    throw failure("WRONG_STATE", {
      name,
      reason: `Its disk has ${needed} bytes and its own device ${own} ${size}; grow the device first, as with lvextend`,
      state: NOT_YET,
    });
  }
}
