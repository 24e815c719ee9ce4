import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import {
  changedMetadata,
  define,
  getManaged,
  handOn,
  type LibvirtEngine,
  type Managed,
  runOptions,
} from "../engine.ts";
import { firmwareEntry, readFirmwareOf, stageFirmware } from "../firmware/firmware.ts";
import { finishRestore } from "../journal/finish.ts";
import { writeJournal } from "../journal/journal.ts";
import { finishInterrupted, getReady } from "../journal/recover.ts";
import { requireDepth } from "../layers/chain-limit.ts";
import { keepShort } from "../layers/flattened/flattened.ts";
import { checkChain, readLayers } from "../layers/layers.ts";
import { newLayerPath } from "../layers/names.ts";
import { stampText } from "../layers/pending-removals.ts";
import { requireShutOff } from "../lifecycle/power.ts";
import { awaitSent } from "../lock/await-inflight.ts";
import { putMounts } from "../mounts/servable.ts";
import { requireWhole } from "../qcow2/damage.ts";
import { createOverlay } from "../qcow2/overlay.ts";
import { checkSpace } from "../storage/pool.ts";
import { readDisk } from "../xml/disks.ts";
import { restoredDomain } from "../xml/domain.ts";
import { readMetadata } from "../xml/metadata.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import { requireRedefinable } from "./checkpoints.ts";
import { reconcile } from "./reconcile.ts";
import { lookupSnapshot } from "./records.ts";

/** The snapshot of that name, which must have a frozen layer to restore. */
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

export async function restore(
  engine: LibvirtEngine,
  id: string,
  name: string,
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id);
  await requireShutOff(managed, "Only stopped instances can be restored");
  const snapshot = await getRestorable(managed, name);
  await reconcile(managed);
  await requireRedefinable(managed, snapshot);
  const { folder } = managed.metadata;
  const old = readDisk(managed.document);
  const graph = await readLayers(managed.name, folder, [snapshot.frozen]);
  await checkChain(managed.name, graph, snapshot.frozen);
  // The current contents are given up for the snapshot's, so its layer is checked. Checking all files below
  // would take as long as the rest of a restore.
  await requireWhole(managed.name, snapshot.frozen);
  const place = { name: managed.name, activeLayer: old };
  const short = await keepShort(engine, place, graph, [snapshot.frozen], runOptions(engine, id, context));
  requireDepth(managed.name, short.opened(snapshot.frozen).length + 1);
  await checkSpace(folder);
  const firmware = await readFirmwareOf(engine, managed, snapshot, context);

  const file = newLayerPath(folder);
  context.signal.throwIfAborted();
  const operation = {
    kind: "restore",
    name,
    file,
    old,
    stamp: stampText(old),
    ...firmwareEntry(firmware),
  } as const;
  await writeJournal(folder, operation);
  let restored: Managed;
  try {
    await createOverlay(file, snapshot.frozen);
    await stageFirmware(firmware);
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
    // Building keyframes may have taken long, and others may have started the instance.
    await requireShutOff({ ...managed, shutOff: false }, "Only stopped instances can be restored");
    // The definition is the turning point: before it, the instance is as it was; after it, it is restored.
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
