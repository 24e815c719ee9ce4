import type { Context, SnapshotRecord } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { defined } from "../../../lib/util/defined.ts";
import { type LibvirtEngine, type Managed, runOptions, writeMetadata } from "../engine.ts";
import { writePacked } from "../firmware/archive.ts";
import { packFirmware } from "../firmware/firmware.ts";
import type { Packed } from "../firmware/state.ts";
import { getReady } from "../journal/recover.ts";
import { requireDepth } from "../layers/chain-limit.ts";
import { keepShort } from "../layers/flattened/flattened.ts";
import { requireWritable } from "../layers/graph.ts";
import type { LayerGraph } from "../layers/layer-graph.ts";
import { checkChain, layerPlace, readLayers } from "../layers/layers.ts";
import { newLayerPath } from "../layers/names.ts";
import { stampText } from "../layers/pending-removals.ts";
import { requireShutOff } from "../lifecycle/power.ts";
import { newMemoryPath } from "../memory/files.ts";
import { requireSavable } from "../memory/save.ts";
import { createOverlay } from "../qcow2/overlay.ts";
import { checkSpace } from "../storage/pool.ts";
import { activeLayers, coveredDisks } from "../xml/disks.ts";
import { serialize } from "../xml/document.ts";
import type { DiskEntry, SnapshotEntry } from "../xml/metadata.ts";
import { snapshotEntry, takeDocument } from "../xml/snapshot.ts";
import { requireNoCheckpoints } from "./checkpoints.ts";
import { withAttached } from "./coverable.ts";
import { requireLiveGuest } from "./live-guest.ts";
import { reconcile } from "./reconcile.ts";
import type { RecordCopy } from "./record-copies.ts";

/** Longest comment, bytes of UTF-8: libvirt takes documents up to 4 MiB. */
const MAX_COMMENT_BYTES = 1024 * 1024;

/** A snapshot that can be taken, of which nothing is written yet. */
export interface Preparation {
  readonly managed: Managed;
  readonly record: SnapshotRecord;
  /** The instance's counter with this snapshot. */
  readonly taken: number;
  readonly cut: boolean;
  /** True if its guest runs. */
  readonly live: boolean;
  /** The disks that it covers, the system disk first. */
  readonly disks: readonly Required<DiskEntry>[];
  readonly graph: LayerGraph;
  readonly firmware: Packed | undefined;
  readonly memory: string | undefined;
}

/** Rejects unless the snapshot can be taken, as far as that shows beforehand. */
export async function prepareTake(
  engine: LibvirtEngine,
  id: string,
  record: SnapshotRecord,
  { taken, cut = false }: { readonly taken: number; readonly cut?: boolean },
  context: Context,
): Promise<Preparation> {
  const managed = await withAttached(engine, await getReady(engine, id));
  const { name } = managed;
  const { consistency = "stopped" } = record;
  const live = consistency !== "stopped";
  await requireTakeable(managed, record);
  const { folder } = managed.metadata;
  const covered = coveredDisks(managed.document, managed.metadata);
  const layers = covered.map(({ file }) => file);
  const copies = await reconcile(managed);
  // A snapshot that libvirt has lost can be recorded again, and then needs its name.
  if (copies.some((copy) => copy.name === record.name)) {
    throw failure("SNAPSHOT_EXISTS", { name, snapshot: record.name });
  }
  const graph = await readLayers(layerPlace(managed), layers);
  for (const layer of layers) {
    await checkChain(name, graph, layer);
  }
  requireWritable(managed, graph, copies);
  const below = copies.find((copy) => copy.name === record.parent);
  warnOfLost(managed, graph, below, context);
  // Files that a guest has open cannot be given shorter chains.
  const short = live
    ? graph
    : await keepShort(engine, { name, active: layers }, graph, layers, runOptions(engine, id, context));
  for (const layer of layers) {
    requireDepth(name, short.opened(layer).length + 1);
  }
  await checkSpace(folder);

  const disks = covered.map(({ target, file }) => ({
    target,
    frozen: file,
    overlay: newLayerPath(folder),
    stamp: stampText(file),
  }));
  const firmware = await packFirmware(engine, managed, context);
  const memory = consistency === "memory" ? newMemoryPath(folder) : undefined;
  return { managed, record, taken, cut, live, disks, graph, firmware, memory };
}

/** Writes the entry of the snapshot into the metadata: from now on, the take must be finished or undone. */
export async function announce({
  managed,
  record,
  disks,
  live,
  firmware,
  ...rest
}: Preparation): Promise<Managed> {
  const entry = entryFor(record, disks, { ...rest, firmware: firmware?.name });
  return writeMetadata(managed, { snapshot: snapshotEntry(record.comment, entry) }, live);
}

/** Writes the files that the snapshot needs. Resolves to the document that takes it. */
export async function writeFiles({
  managed,
  record,
  disks,
  graph,
  firmware,
  memory,
}: Preparation): Promise<string> {
  if (firmware !== undefined) {
    await writePacked(managed.metadata.folder, firmware);
  }
  for (const { overlay, frozen } of disks) {
    await createOverlay(overlay, frozen, { format: graph.formatOf(frozen) });
  }
  return serialize(takeDocument(managed.document, record.name, record.comment, overlaysOf(disks), memory));
}

/** The overlays of a snapshot by the targets of their disks. */
export function overlaysOf(disks: readonly Required<DiskEntry>[]): ReadonlyMap<string, string> {
  return new Map(disks.map(({ target, overlay }) => [target, overlay]));
}

/** Rejects unless the instance is in the state that the record needs, and the record can be kept. */
async function requireTakeable(
  managed: Managed,
  { comment, consistency = "stopped", group }: SnapshotRecord,
): Promise<void> {
  if (consistency === "stopped") {
    await requireShutOff(managed, "Only stopped instances can be snapshotted");
  } else {
    await requireLiveGuest(managed, consistency, group !== undefined);
  }
  if (consistency === "memory") {
    await requireSavable(managed);
  }
  await requireNoCheckpoints(managed);
  if (Buffer.byteLength(comment) > MAX_COMMENT_BYTES) {
    throw failure("INVALID_VALUE", {
      what: "the comment",
      value: `${comment.slice(0, 20)}…`,
      reason: `must be at most ${MAX_COMMENT_BYTES} bytes`,
    });
  }
}

/** The entry of the snapshot while it is being taken. */
function entryFor(
  { name, consistency = "stopped", group, createdAt }: SnapshotRecord,
  disks: readonly Required<DiskEntry>[],
  {
    cut,
    taken,
    ...files
  }: { taken: number; cut: boolean; memory: string | undefined; firmware: string | undefined },
): Omit<SnapshotEntry, "comment"> {
  return {
    createdAt,
    ...entryOf(disks),
    name,
    taken,
    ...(consistency === "stopped" ? {} : { consistency }),
    ...(cut ? { cut: "yes" } : {}),
    ...defined({ ...files, group }),
  };
}

/** Says that a disk which the snapshot below has is not there any more: another hand has taken it away. */
function warnOfLost(
  { name, document }: Managed,
  graph: LayerGraph,
  below: RecordCopy | undefined,
  { warn }: Context,
): void {
  const read = new Set(activeLayers(document).flatMap((layer) => graph.chain(layer)));
  const [, ...further] = below?.frozen ?? [];
  for (const layer of further.filter((each) => !read.has(each))) {
    warn?.(
      `the snapshot is without a disk of "${below?.name}", which "${name}" does not have any more: ${layer}`,
    );
  }
}

/** The disks as the entry of a snapshot has them: the system disk in its attributes, the others below. */
function entryOf(disks: readonly Required<DiskEntry>[]): Omit<SnapshotEntry, "createdAt"> {
  const [system, ...further] = disks;
  const { frozen = "", overlay = "", stamp = "" } = system ?? {};
  return { frozen, overlay, stamp, ...(further.length === 0 ? {} : { disks: further }) };
}
