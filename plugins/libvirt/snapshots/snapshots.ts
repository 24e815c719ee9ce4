import { basename, dirname } from "node:path";
import type { Context, Removal, Snapshots } from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { failure } from "../../../lib/errors.ts";
import { hasSavedMemory } from "../domain/view.ts";
import { type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { ENGINE } from "../errors.ts";
import type { OperationOf } from "../journal/entry.ts";
import { finishDelete, finishRename } from "../journal/finish.ts";
import { writeJournal } from "../journal/journal.ts";
import { getReady } from "../journal/recover.ts";
import { stampText } from "../layers/pending-removals.ts";
import { readConsistently } from "../lock/consistent-read.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import { requireRedefinable } from "./checkpoints.ts";
import { deleteInside, requireNotLost } from "./inside-snapshots.ts";
import { find, isClosed, outline, removal, standsWithin, tree } from "./reading.ts";
import { reconcile } from "./reconcile.ts";
import { currentName, listChildren, lookupSnapshot } from "./records.ts";
import { redefine } from "./redefine.ts";
import { restore } from "./restore.ts";
import { take } from "./take.ts";
import { takeGroup } from "./take-group.ts";

export function snapshotGroup(engine: LibvirtEngine): Snapshots {
  return {
    tree: (id) => readConsistently(engine, id, () => tree(engine, id), isClosed),
    outline: (id) => readConsistently(engine, id, () => outline(engine, id), standsWithin),
    find: (id, name) => find(engine, id, name),
    removal: (id, name) => removal(engine, id, name),
    take: async (lock, record, taken, context, options) =>
      take(engine, lockedId(engine, lock), record, taken, context, options),
    takeGroup: (members, context) => takeGroup(engine, members, context),
    restore: async (lock, name, context, options) =>
      restore(engine, lockedId(engine, lock), name, context, options),
    delete: async (lock, removal, context) =>
      deleteSnapshot(engine, lockedId(engine, lock), removal, context),
    rename: async (lock, name, to, context) => rename(engine, lockedId(engine, lock), name, to, context),
    describe: async (lock, name, comment, context) =>
      describe(engine, lockedId(engine, lock), name, comment, context),
  };
}

async function deleteSnapshot(
  engine: LibvirtEngine,
  id: string,
  removal: Removal,
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id);
  if (managed.shutOff !== true && (await hasSavedMemory(managed))) {
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
  // The records of children are rewritten.
  if (removal.children.length > 0) {
    await requireRedefinable(managed, snapshot);
  }
  const [layer, ...further] = snapshot.frozen;
  if (layer === undefined) {
    return deleteInside(managed, snapshot, runOptions(engine, id, context));
  }
  context.signal.throwIfAborted();
  const { firmware, memory } = snapshot;
  const operation = {
    kind: "delete",
    name: removal.name,
    layer,
    stamp: stampText(layer),
    ...(firmware === undefined ? {} : { firmware }),
    ...(dirname(memory) === managed.metadata.folder ? { memory: basename(memory) } : {}),
    ...furtherLayers(further),
  } as const;
  await writeJournal(managed.metadata.folder, operation);
  const children = removal.children.length === 0 ? [] : await listChildren(managed.domain, removal.name);
  await finishDelete(engine, managed, operation, context, { snapshot, children });
}

/** What the entry of a deletion says of the further disks. */
function furtherLayers(layers: readonly string[]): Pick<OperationOf<"delete">, "disks"> {
  return layers.length === 0 ? {} : { disks: layers.map((layer) => ({ layer, stamp: stampText(layer) })) };
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
  if (snapshot.frozen.length === 0) {
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

/** The snapshot of that name, whose record libvirt can rewrite. */
async function requireRewritable(managed: Managed, name: string): Promise<SnapshotDocument> {
  const snapshot = await lookupSnapshot(managed.domain, name);
  if (snapshot === null) {
    throw failure("SNAPSHOT_NOT_FOUND", { name: managed.name, snapshot: name });
  }
  await requireRedefinable(managed, snapshot);
  return snapshot;
}
