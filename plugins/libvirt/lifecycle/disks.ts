import { dirname } from "node:path";
import type { Context, Disk, Disks } from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { failure } from "../../../lib/errors.ts";
import {
  changedMetadata,
  define,
  getManaged,
  type LibvirtEngine,
  type Managed,
  runOptions,
  writeMetadata,
} from "../engine.ts";
import { finishRemoveDisk } from "../journal/finish-disks.ts";
import { clearJournal, writeJournal } from "../journal/journal.ts";
import { finishInterrupted, getReady } from "../journal/recover.ts";
import { collectIfPossible } from "../layers/collect.ts";
import { readGraph } from "../layers/graph.ts";
import { newLayerPath } from "../layers/names.ts";
import { stampText } from "../layers/pending-removals.ts";
import { requireWritableNow } from "../layers/writable.ts";
import { awaitSent } from "../lock/await-inflight.ts";
import { createImage } from "../qcow2/overlay.ts";
import { requireNoCheckpoints } from "../snapshots/checkpoints.ts";
import { requireCoverable } from "../snapshots/coverable.ts";
import { reconcile } from "../snapshots/reconcile.ts";
import { listSnapshots } from "../snapshots/records.ts";
import { checkSpace } from "../storage/pool.ts";
import {
  addDisk,
  coverDisk,
  freeTarget,
  readDiskAt,
  removeDisk,
  type WrittenDisk,
  writtenDisks,
} from "../xml/disks.ts";
import { putMetadata } from "../xml/metadata.ts";
import { requireShutOff } from "./power.ts";
import { ownFileBelow, requireReturnable } from "./releasable.ts";
import { returnDisk } from "./release.ts";

/** The disks beside the system disk. */
export function diskGroup(engine: LibvirtEngine): Disks {
  return {
    add: async (lock, size, context) => add(engine, lockedId(engine, lock), size, context),
    remove: async (lock, name, context) => remove(engine, lockedId(engine, lock), name, context),
    exclude: async (lock, name, excluded, context) =>
      exclude(engine, lockedId(engine, lock), { name, excluded }, context),
  };
}

async function add(engine: LibvirtEngine, id: string, size: bigint, context: Context): Promise<Disk> {
  const managed = await getReady(engine, id, context);
  await requireShutOff(managed, "Only stopped instances can be given another disk");
  const { document, metadata, domain } = managed;
  const { folder } = metadata;
  await checkSpace(folder);
  const known = (await listSnapshots(domain)).flatMap(({ targets }) => targets);
  // One that another hand has taken away may come back, and is still to be left out then.
  const target = freeTarget(document, [...known, ...(metadata.excluded ?? [])]);
  const file = newLayerPath(folder);
  context.signal.throwIfAborted();
  await writeJournal(folder, { kind: "add-disk", target, file });
  try {
    await createImage(file, size);
    addDisk(document, target, file);
    await define(engine, document);
  } catch (error) {
    // An error does not mean that nothing has happened: find out, then finish or undo.
    await awaitSent(engine, id, error);
    await finishInterrupted(engine, id);
    if (readDiskAt((await getManaged(engine, id)).document, target) !== file) {
      throw error;
    }
  }
  await clearJournal(folder);
  return { name: target, size };
}

async function remove(engine: LibvirtEngine, id: string, name: string, context: Context): Promise<void> {
  const managed = await getReady(engine, id, context);
  await requireShutOff(managed, "Only stopped instances can lose a disk");
  const { document, metadata } = managed;
  const { folder } = metadata;
  const disk = getDisk(managed, name);
  await requireInNoSnapshot(managed, disk);
  context.signal.throwIfAborted();
  if (dirname(disk.file) === folder) {
    await giveBack(engine, managed, disk, context);
  }
  const operation = {
    kind: "remove-disk",
    target: name,
    file: disk.file,
    stamp: stampText(disk.file),
  } as const;
  await writeJournal(folder, operation);
  removeDisk(document, name);
  // Another disk of that name is not to be left out for it.
  const own = (metadata.own ?? []).filter(({ target }) => target !== name);
  putMetadata(document, changedMetadata(metadata, { excluded: excludedBeside(metadata, name), own }));
  try {
    await define(engine, document);
  } catch (error) {
    await awaitSent(engine, id, error);
    await finishInterrupted(engine, id);
    if (readDiskAt((await getManaged(engine, id)).document, name) !== "") {
      throw error;
    }
    return;
  }
  await finishRemoveDisk(managed, operation);
  await collectIfPossible(engine, managed, context);
}

/** Writes what strata has beside a disk's own file into that: its owner gets it as the guest left it. */
async function giveBack(
  engine: LibvirtEngine,
  managed: Managed,
  { target, file }: WrittenDisk,
  context: Context,
): Promise<void> {
  const graph = await readGraph(managed);
  const own = ownFileBelow(graph, file);
  if (own === undefined) {
    return;
  }
  await requireNoCheckpoints(managed);
  await requireReturnable(engine, managed, { target, file, own });
  await returnDisk({ target, file, own }, runOptions(engine, managed.domain.uuid, context));
}

/** A disk beside the system disk. */
function getDisk({ name, document, metadata }: Managed, target: string): WrittenDisk {
  const [, ...further] = writtenDisks(document, metadata);
  const found = further.find((disk) => disk.target === target);
  if (found === undefined) {
    throw failure("DISK_NOT_FOUND", { name, disk: target });
  }
  return found;
}

/** Rejects while a snapshot has the contents of a disk, or a lost one may have them. */
async function requireInNoSnapshot(managed: Managed, { target, file }: WrittenDisk): Promise<void> {
  const { name, domain } = managed;
  const copies = await reconcile(managed);
  const snapshots = await listSnapshots(domain);
  const chain = (await readGraph(managed, copies)).chain(file);
  const owner =
    snapshots.find(({ targets }) => targets.includes(target)) ??
    copies.find(({ frozen }) => frozen.some((layer) => chain.includes(layer)));
  if (owner !== undefined) {
    throw failure("DISK_IN_SNAPSHOT", { name, disk: target, snapshot: owner.name });
  }
}

/** The disks that are excluded, without that one. */
function excludedBeside({ excluded = [] }: Managed["metadata"], name: string): string[] {
  return excluded.filter((target) => target !== name);
}

async function exclude(
  engine: LibvirtEngine,
  id: string,
  { name, excluded }: { readonly name: string; readonly excluded: boolean },
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id, context);
  await requireShutOff(managed, "Only of stopped instances can disks be left out of snapshots");
  context.signal.throwIfAborted();
  const disk = getDisk(managed, name);
  if ((disk.left !== undefined) === excluded) {
    return;
  }
  const { document, metadata } = managed;
  const others = excludedBeside(metadata, name);
  if (excluded) {
    await writeMetadata(managed, { excluded: [...others, name] }, false);
    return;
  }
  requireCoverable(managed, [disk]);
  await requireWritableNow(managed);
  const written = await writeMetadata(managed, { excluded: others }, false);
  if (coverDisk(document, name)) {
    putMetadata(document, written.metadata);
    await define(engine, document);
  }
}
