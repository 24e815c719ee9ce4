import type { Context, SnapshotRecord } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { type LibvirtEngine, type Managed, runOptions, writeMetadata } from "../engine.ts";
import { isSaid } from "../errors.ts";
import { writePacked } from "../firmware/archive.ts";
import { packFirmware } from "../firmware/firmware.ts";
import { finishInterrupted, getReady } from "../journal/recover.ts";
import { requireDepth } from "../layers/chain-limit.ts";
import { keepShort } from "../layers/flattened/flattened.ts";
import { requireWritable } from "../layers/graph.ts";
import type { LayerGraph } from "../layers/layer-graph.ts";
import { checkChain, readLayers } from "../layers/layers.ts";
import { newLayerPath } from "../layers/names.ts";
import { stampText } from "../layers/pending-removals.ts";
import { requireShutOff } from "../lifecycle/power.ts";
import { awaitSent } from "../lock/await-inflight.ts";
import { SNAPSHOT_NAME_TAKEN } from "../messages.ts";
import { createOverlay } from "../qcow2/overlay.ts";
import { SnapshotCreateFlags } from "../rpc/index.ts";
import { checkSpace } from "../storage/pool.ts";
import { activeLayers, coveredDisks, setDisks } from "../xml/disks.ts";
import { copy, type Element, parse, serialize } from "../xml/document.ts";
import type { DiskEntry, SnapshotEntry } from "../xml/metadata.ts";
import { readSnapshot, snapshotEntry, takeDocument } from "../xml/snapshot.ts";
import { requireNoCheckpoints } from "./checkpoints.ts";
import { requireCoverable } from "./coverable.ts";
import { reconcile } from "./reconcile.ts";
import { type RecordCopy, writeRecordCopy } from "./record-copies.ts";
import { lookupSnapshot } from "./records.ts";
import { redefine } from "./redefine.ts";

/**
 * strata creates the overlay: libvirt would make it readable by everyone, and start a program to create it.
 */
const TAKE = SnapshotCreateFlags.DISK_ONLY | SnapshotCreateFlags.ATOMIC | SnapshotCreateFlags.REUSE_EXT;

/** Longest comment, bytes of UTF-8: libvirt takes documents up to 4 MiB. */
const MAX_COMMENT_BYTES = 1024 * 1024;

export async function take(
  engine: LibvirtEngine,
  id: string,
  record: SnapshotRecord,
  taken: number,
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id);
  const { domain, name } = managed;
  await requireShutOff(managed, "Only stopped instances can be snapshotted");
  await requireNoCheckpoints(managed);
  if (Buffer.byteLength(record.comment) > MAX_COMMENT_BYTES) {
    throw failure("INVALID_VALUE", {
      what: "the comment",
      value: `${record.comment.slice(0, 20)}…`,
      reason: `must be at most ${MAX_COMMENT_BYTES} bytes`,
    });
  }
  const { folder } = managed.metadata;
  const covered = coveredDisks(managed.document, managed.metadata);
  requireCoverable(managed, covered);
  const layers = covered.map(({ file }) => file);
  const copies = await reconcile(managed);
  // A snapshot that libvirt has lost can be recorded again, and then needs its name.
  if (copies.some((copy) => copy.name === record.name)) {
    throw failure("SNAPSHOT_EXISTS", { name, snapshot: record.name });
  }
  const graph = await readLayers(name, folder, layers);
  for (const layer of layers) {
    await checkChain(name, graph, layer);
  }
  requireWritable(managed, graph, copies);
  warnOfLost(
    managed,
    graph,
    copies.find((copy) => copy.name === record.parent),
    context,
  );
  const short = await keepShort(
    engine,
    { name, active: layers },
    graph,
    layers,
    runOptions(engine, id, context),
  );
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
  const { createdAt } = record;
  const entry = {
    createdAt,
    ...entryOf(disks),
    name: record.name,
    taken,
    ...(firmware === undefined ? {} : { firmware: firmware.name }),
  };
  const written = await writeMetadata(managed, { snapshot: snapshotEntry(record.comment, entry) }, false);
  try {
    if (firmware !== undefined) {
      await writePacked(folder, firmware);
    }
    for (const { overlay, frozen } of disks) {
      await createOverlay(overlay, frozen);
    }
    const document = takeDocument(managed.document, record.name, record.comment, overlays);
    const snapshot = await domain.createSnapshot(serialize(document), TAKE);
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
    await writeMetadata(written, done, false);
  } catch (error) {
    // An error does not mean that nothing has happened: find out, then finish or undo.
    await awaitSent(engine, id, error);
    await finishInterrupted(engine, id);
    const there = await lookupSnapshot(domain, record.name).catch(() => null);
    if (there?.frozen[0] !== layers[0]) {
      throw takeError(error, name, record.name);
    }
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
