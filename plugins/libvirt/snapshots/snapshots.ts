import type { Context, Removal, SnapshotRecord, Snapshots } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import {
  changedMetadata,
  define,
  getManaged,
  handOn,
  type LibvirtEngine,
  lockedId,
  type Managed,
  runOptions,
  writeMetadata,
} from "../engine.ts";
import { ENGINE, mapped } from "../errors.ts";
import { finishDelete, finishRename, finishRestore } from "../journal/finish.ts";
import { writeJournal } from "../journal/journal.ts";
import { finishInterrupted, getReady } from "../journal/recover.ts";
import { keepShort } from "../layers/flattened/flattened.ts";
import { requireWritable } from "../layers/graph.ts";
import { CHAIN_LIMIT, checkChain, newLayerPath, readLayers } from "../layers/layers.ts";
import { stampText } from "../layers/pending-removals.ts";
import { requireShutOff } from "../lifecycle/power.ts";
import { awaitSent } from "../lock/await-inflight.ts";
import { readConsistently } from "../lock/consistent-read.ts";
import { putMounts } from "../mounts/mounts.ts";
import { requireWhole } from "../qcow2/damage.ts";
import { createOverlay } from "../qcow2/overlay.ts";
import { LibvirtError, SnapshotCreateFlags } from "../rpc/index.ts";
import { checkSpace } from "../storage/pool.ts";
import { copy, type Element, parse, serialize } from "../xml/document.ts";
import { readDisk, restoredDomain, setDisk } from "../xml/domain.ts";
import { readMetadata } from "../xml/metadata.ts";
import { readSnapshot, type SnapshotDocument, snapshotEntry, takeDocument } from "../xml/snapshot.ts";
import { requireNoCheckpoints, requireRedefinable } from "./checkpoints.ts";
import { deleteInside, requireNotLost } from "./inside-snapshots.ts";
import { isClosed, outline, removal, standsWithin, tree } from "./reading.ts";
import { reconcile } from "./reconcile.ts";
import { writeRecordCopy } from "./record-copies.ts";
import { currentName, listChildren, lookupSnapshot, redefine } from "./records.ts";

/** The overlay is ours: one that libvirt makes may be read by anybody, and comes from a program it starts. */
const TAKE = SnapshotCreateFlags.DISK_ONLY | SnapshotCreateFlags.ATOMIC | SnapshotCreateFlags.REUSE_EXT;

/** Longest comment, bytes of UTF-8: libvirt takes documents up to 4 MiB. */
const MAX_COMMENT_BYTES = 1024 * 1024;

export function snapshotGroup(engine: LibvirtEngine): Snapshots {
  return {
    tree: (id) => mapped(() => readConsistently(engine, id, () => tree(engine, id), isClosed), { name: id }),
    outline: (id) =>
      mapped(() => readConsistently(engine, id, () => outline(engine, id), standsWithin), { name: id }),
    removal: (id, name) => mapped(() => removal(engine, id, name)),
    take: (lock, record, taken, context) =>
      mapped(() => take(engine, lockedId(engine, lock), record, taken, context)),
    restore: (lock, name, context) => mapped(() => restore(engine, lockedId(engine, lock), name, context)),
    delete: (lock, removal, context) =>
      mapped(() => deleteSnapshot(engine, lockedId(engine, lock), removal, context)),
    rename: (lock, name, to, context) =>
      mapped(() => rename(engine, lockedId(engine, lock), name, to, context)),
    describe: (lock, name, comment, context) =>
      mapped(() => describe(engine, lockedId(engine, lock), name, comment, context)),
  };
}

async function take(
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
  const activeLayer = readDisk(managed.document);
  const copies = await reconcile(managed);
  // One that libvirt has lost can be recorded again, and must find its name free.
  if (copies.some((copy) => copy.name === record.name)) {
    throw failure("SNAPSHOT_EXISTS", { name, snapshot: record.name });
  }
  const graph = await readLayers(name, folder, [activeLayer]);
  await checkChain(name, graph, activeLayer);
  requireWritable(managed, graph, copies);
  const short = await keepShort(
    engine,
    { name, activeLayer },
    graph,
    [activeLayer],
    runOptions(engine, id, context),
  );
  requireDepth(name, short.opened(activeLayer).length + 1);
  await checkSpace(folder);

  const parent = record.parent;
  const file = newLayerPath(folder);
  context.signal.throwIfAborted();
  const { createdAt } = record;
  const entry = {
    createdAt,
    frozen: activeLayer,
    overlay: file,
    name: record.name,
    taken,
    stamp: stampText(activeLayer),
  };
  const written = await writeMetadata(managed, { snapshot: snapshotEntry(record.comment, entry) }, false);
  try {
    await createOverlay(file, activeLayer);
    const document = takeDocument(managed.document, record.name, record.comment, file);
    const snapshot = await domain.createSnapshot(serialize(document), TAKE);
    const xml = await snapshot.getXml();
    const recorded = readSnapshot(await parse(xml));
    if (recorded.parent === parent) {
      await writeRecordCopy(folder, { name: record.name, frozen: activeLayer, xml });
    } else {
      await redefine({ ...managed, document: withDisk(managed.document, file) }, recorded, { parent }, true);
    }
    const done = { record: { snapshotsTaken: taken }, snapshot: null };
    await writeMetadata(written, done, false);
  } catch (error) {
    // An error does not mean that nothing happened: look, then finish or undo.
    await awaitSent(engine, id, error);
    await finishInterrupted(engine, id);
    const there = await lookupSnapshot(domain, record.name).catch(() => null);
    if (there?.frozen !== activeLayer) {
      throw takeError(error, name, record.name);
    }
  }
}

function withDisk(document: Element, file: string): Element {
  const switched = copy(document);
  setDisk(switched, file);
  return switched;
}

/** libvirt has no code for a name that is taken. */
function takeError(error: unknown, name: string, snapshot: string): unknown {
  const taken = error instanceof LibvirtError && error.message.endsWith("already exists");
  return taken ? failure("SNAPSHOT_EXISTS", { name, snapshot }, error) : error;
}

function requireDepth(name: string, depth: number): void {
  if (depth > CHAIN_LIMIT) {
    throw failure("CHAIN_TOO_DEEP", { name, depth, limit: CHAIN_LIMIT, engine: "libvirt" });
  }
}

/** The snapshot of that name with a frozen layer to go back to. */
async function getRestorable(managed: Managed, name: string): Promise<SnapshotDocument & { frozen: string }> {
  const snapshot = await lookupSnapshot(managed.domain, name);
  if (snapshot === null) {
    throw failure("SNAPSHOT_NOT_FOUND", { name: managed.name, snapshot: name });
  }
  if (snapshot.frozen === null || snapshot.domain === undefined) {
    throw failure("RECORDS_DIFFER", {
      name: managed.name,
      reason: `snapshot "${name}" is not an external disk snapshot; only libvirt's own tools can use it`,
    });
  }
  return { ...snapshot, frozen: snapshot.frozen };
}

async function restore(engine: LibvirtEngine, id: string, name: string, context: Context): Promise<void> {
  const managed = await getReady(engine, id);
  await requireShutOff(managed, "Only stopped instances can be restored");
  const snapshot = await getRestorable(managed, name);
  await reconcile(managed);
  await requireRedefinable(managed, snapshot);
  const { folder } = managed.metadata;
  const old = readDisk(managed.document);
  const graph = await readLayers(managed.name, folder, [snapshot.frozen]);
  await checkChain(managed.name, graph, snapshot.frozen);
  // What is written now is given up for what the snapshot holds. Looking into all files below would take as long as
  // all the rest of a restore.
  await requireWhole(managed.name, snapshot.frozen);
  const place = { name: managed.name, activeLayer: old };
  const short = await keepShort(engine, place, graph, [snapshot.frozen], runOptions(engine, id, context));
  requireDepth(managed.name, short.opened(snapshot.frozen).length + 1);
  await checkSpace(folder);

  const file = newLayerPath(folder);
  context.signal.throwIfAborted();
  const operation = { kind: "restore", name, file, old, stamp: stampText(old) } as const;
  await writeJournal(folder, operation);
  let restored: Managed;
  try {
    await createOverlay(file, snapshot.frozen);
    const recorded = snapshot.domain;
    if (recorded === undefined) {
      throw failure("INTERNAL", { reason: "a snapshot without its domain" });
    }
    const then = readMetadata(recorded);
    const metadata = changedMetadata(managed.metadata, {
      record: { cloudInstanceId: then?.record.cloudInstanceId ?? managed.metadata.record.cloudInstanceId },
      mounts: then?.mounts ?? [],
    });
    const document = restoredDomain(recorded, managed.document, file, metadata);
    await putMounts(engine, document, metadata, context);
    // Bringing the chain together may have taken long, and virsh starts what it likes.
    await requireShutOff({ ...managed, shutOff: false }, "Only stopped instances can be restored");
    // The definition is the turning point: before it the instance is as it was, after it restored.
    await define(engine, document);
    restored = { ...managed, document, metadata };
  } catch (error) {
    await awaitSent(engine, id, error);
    await finishInterrupted(engine, id);
    const now = await getManaged(engine, id);
    if (readDisk(now.document) !== file) {
      throw error;
    }
    return;
  }
  await finishRestore(engine, restored, operation, snapshot);
  handOn(restored);
}

async function deleteSnapshot(
  engine: LibvirtEngine,
  id: string,
  removal: Removal,
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id);
  if (managed.shutOff !== true && (await managed.domain.hasManagedSaveImage())) {
    throw failure("INSTANCE_SUSPENDED", { name: managed.name, reason: "A snapshot cannot be deleted now" });
  }
  const snapshot = await lookupSnapshot(managed.domain, removal.name);
  await reconcile(managed);
  if (snapshot === null) {
    return requireNotLost(managed, removal.name);
  }
  if (snapshot.parent !== removal.parent) {
    throw failure("RECORDS_DIFFER", {
      name: managed.name,
      reason: `the parent of snapshot "${removal.name}" is ${snapshot.parent ?? "none"}, not ${removal.parent ?? "none"}`,
    });
  }
  // The records of children are written anew.
  if (removal.children.length > 0) {
    await requireRedefinable(managed, snapshot);
  }
  if (snapshot.frozen === null) {
    return deleteInside(managed, snapshot, runOptions(engine, id, context));
  }
  context.signal.throwIfAborted();
  const { frozen: layer } = snapshot;
  const operation = { kind: "delete", name: removal.name, layer, stamp: stampText(layer) } as const;
  await writeJournal(managed.metadata.folder, operation);
  const children = removal.children.length === 0 ? [] : await listChildren(managed.domain, removal.name);
  await finishDelete(engine, managed, operation, context, { snapshot, children });
}

async function rename(
  engine: LibvirtEngine,
  id: string,
  name: string,
  to: string,
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id);
  context.signal.throwIfAborted();
  const copies = await reconcile(managed);
  const snapshot = await requireRewritable(managed, name);
  if (to === name) {
    return;
  }
  if (snapshot.frozen === null) {
    throw failure("UNSUPPORTED", {
      what: `renaming "${managed.name}.${name}"`,
      engine: ENGINE,
      reason: "QEMU keeps it inside the disk image under that name",
    });
  }
  if (copies.some((copy) => copy.name === to)) {
    throw failure("SNAPSHOT_EXISTS", { name: managed.name, snapshot: to });
  }
  const operation = { kind: "rename", from: name, to } as const;
  await writeJournal(managed.metadata.folder, operation);
  await finishRename(managed, operation, snapshot);
}

async function describe(
  engine: LibvirtEngine,
  id: string,
  name: string,
  comment: string,
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id);
  context.signal.throwIfAborted();
  await reconcile(managed);
  const snapshot = await requireRewritable(managed, name);
  await redefine(managed, snapshot, { comment }, (await currentName(managed.domain)) === name);
}

/** The snapshot of that name, whose record libvirt can write anew. */
async function requireRewritable(managed: Managed, name: string): Promise<SnapshotDocument> {
  const snapshot = await lookupSnapshot(managed.domain, name);
  if (snapshot === null) {
    throw failure("SNAPSHOT_NOT_FOUND", { name: managed.name, snapshot: name });
  }
  await requireRedefinable(managed, snapshot);
  return snapshot;
}
