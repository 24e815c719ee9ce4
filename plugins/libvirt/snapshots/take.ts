import type { Context, SnapshotRecord, TakeOptions } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { defined } from "../../../lib/util/defined.ts";
import { ownDefinition } from "../domain/definition-chain.ts";
import { getLocked, type LibvirtEngine, type Managed, runOptions, writeMetadata } from "../engine.ts";
import { isSaid } from "../errors.ts";
import { writePacked } from "../firmware/archive.ts";
import { packFirmware } from "../firmware/firmware.ts";
import type { Packed } from "../firmware/state.ts";
import { finishInterrupted, getReady } from "../journal/recover.ts";
import { requireDepth } from "../layers/chain-limit.ts";
import { keepShort } from "../layers/flattened/flattened.ts";
import { requireWritable } from "../layers/graph.ts";
import type { LayerGraph } from "../layers/layer-graph.ts";
import { checkChain, layerPlace, readLayers } from "../layers/layers.ts";
import { newLayerPath } from "../layers/names.ts";
import { stampText } from "../layers/pending-removals.ts";
import { requireShutOff } from "../lifecycle/power.ts";
import { awaitSent } from "../lock/await-inflight.ts";
import { newMemoryPath } from "../memory/files.ts";
import { requireSavable } from "../memory/save.ts";
import { SNAPSHOT_NAME_TAKEN } from "../messages.ts";
import { createOverlay } from "../qcow2/overlay.ts";
import { checkSpace } from "../storage/pool.ts";
import { activeLayers, coveredDisks, setDisks } from "../xml/disks.ts";
import { copy, type Element, parse, serialize } from "../xml/document.ts";
import type { DiskEntry, SnapshotEntry } from "../xml/metadata.ts";
import { readSnapshot, snapshotEntry, takeDocument } from "../xml/snapshot.ts";
import { requireNoCheckpoints } from "./checkpoints.ts";
import { withAttached } from "./coverable.ts";
import { freeze } from "./freeze.ts";
import { requireLiveGuest } from "./live-guest.ts";
import { reconcile } from "./reconcile.ts";
import { type RecordCopy, writeRecordCopy } from "./record-copies.ts";
import { lookupSnapshot } from "./records.ts";
import { redefine } from "./redefine.ts";
import { requireSameDisks } from "./same-disks.ts";

/** Longest comment, bytes of UTF-8: libvirt takes documents up to 4 MiB. */
const MAX_COMMENT_BYTES = 1024 * 1024;

export async function take(
  engine: LibvirtEngine,
  id: string,
  record: SnapshotRecord,
  taken: number,
  context: Context,
  { cut = false }: TakeOptions = {},
): Promise<void> {
  const managed = await withAttached(engine, await getReady(engine, id));
  const { domain, name } = managed;
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

  const parent = record.parent;
  const disks = covered.map(({ target, file }) => ({
    target,
    frozen: file,
    overlay: newLayerPath(folder),
    stamp: stampText(file),
  }));
  const overlays = new Map(disks.map(({ target, overlay }) => [target, overlay]));
  const firmware = await packFirmware(engine, managed, context);
  context.signal.throwIfAborted();
  const memory = consistency === "memory" ? newMemoryPath(folder) : undefined;
  const entry = entryFor(record, disks, { taken, cut, memory, firmware: firmware?.name });
  const written = await writeMetadata(managed, { snapshot: snapshotEntry(record.comment, entry) }, live);
  try {
    await writeFiles(folder, disks, graph, firmware);
    const document = takeDocument(managed.document, record.name, record.comment, overlays, memory);
    const snapshot = await freeze(engine, written, serialize(document), context);
    const xml = await snapshot.getXml();
    const recorded = readSnapshot(await parse(xml));
    if (recorded.parent === parent) {
      await writeRecordCopy(folder, { name: record.name, frozen: layers, xml });
    } else {
      await redefine(
        { ...managed, document: withDisks(managed.document, overlays) },
        recorded,
        { parent },
        true,
      );
    }
    const done = { record: { snapshotsTaken: taken }, snapshot: null };
    await writeMetadata(written, done, live && !cut);
    if (live) {
      await ownDefinition(engine, await getLocked(engine, id));
    }
  } catch (error) {
    // An error does not mean that nothing has happened: find out, then finish or undo.
    await awaitSent(engine, id, error);
    await finishInterrupted(engine, id);
    const there = await lookupSnapshot(domain, record.name).catch(() => null);
    if (there?.frozen[0] !== layers[0] || (cut && (await domain.isActive()))) {
      await requireSameDisks(managed);
      throw takeError(error, name, record.name);
    }
  }
}

/** Rejects unless the instance is in the state that the record needs, and the record can be kept. */
async function requireTakeable(
  managed: Managed,
  { comment, consistency = "stopped" }: SnapshotRecord,
): Promise<void> {
  if (consistency === "stopped") {
    await requireShutOff(managed, "Only stopped instances can be snapshotted");
  } else {
    await requireLiveGuest(managed, consistency);
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
  { cut, ...more }: { taken: number; cut: boolean; memory: string | undefined; firmware: string | undefined },
): Omit<SnapshotEntry, "comment"> {
  return {
    createdAt,
    ...entryOf(disks),
    name,
    ...(consistency === "stopped" ? {} : { consistency }),
    ...(cut ? { cut: "yes" } : {}),
    ...defined({ ...more, group }),
  };
}

/** Writes the files that the snapshot needs before it is taken. */
async function writeFiles(
  folder: string,
  disks: readonly Required<DiskEntry>[],
  graph: LayerGraph,
  firmware: Packed | undefined,
): Promise<void> {
  if (firmware !== undefined) {
    await writePacked(folder, firmware);
  }
  for (const { overlay, frozen } of disks) {
    await createOverlay(overlay, frozen, { format: graph.formatOf(frozen) });
  }
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

function withDisks(document: Element, files: ReadonlyMap<string, string>): Element {
  const switched = copy(document);
  setDisks(switched, files);
  return switched;
}

/** libvirt has no code for a name that is taken. */
function takeError(error: unknown, name: string, snapshot: string): unknown {
  return isSaid(error, SNAPSHOT_NAME_TAKEN) ? failure("SNAPSHOT_EXISTS", { name, snapshot }, error) : error;
}
