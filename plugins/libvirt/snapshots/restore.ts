import type { Context, RestoreOptions } from "../../../lib/engine/contract.ts";
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
import type { OperationOf } from "../journal/entry.ts";
import { finishRestore } from "../journal/finish.ts";
import { writeJournal } from "../journal/journal.ts";
import { finishInterrupted, getReady } from "../journal/recover.ts";
import { requireDepth } from "../layers/chain-limit.ts";
import { keepShort } from "../layers/flattened/flattened.ts";
import { checkChain, layerPlace, readLayers } from "../layers/layers.ts";
import { newLayerPath } from "../layers/names.ts";
import { stampText } from "../layers/pending-removals.ts";
import { warnOfMedia } from "../lifecycle/missing-media.ts";
import { requireShutOff } from "../lifecycle/power.ts";
import { awaitSent } from "../lock/await-inflight.ts";
import { requireMemory } from "../memory/resume.ts";
import { putMounts } from "../mounts/servable.ts";
import { requireWhole } from "../qcow2/damage.ts";
import { createOverlay } from "../qcow2/overlay.ts";
import { checkSpace } from "../storage/pool.ts";
import { activeLayers, coveredDisks, readDisk } from "../xml/disks.ts";
import type { Element } from "../xml/document.ts";
import { type Metadata, type OwnFile, readMetadata } from "../xml/metadata.ts";
import { mergedFormats } from "../xml/own-files.ts";
import { restoredDomain, stayingDisks } from "../xml/restored.ts";
import { recordedFormats, type SnapshotDocument } from "../xml/snapshot.ts";
import { requireRedefinable } from "./checkpoints.ts";
import { reconcile } from "./reconcile.ts";
import { lookupSnapshot } from "./records.ts";
import { requireSameDisks } from "./same-disks.ts";

/** The snapshot of that name, which must have a frozen layer to restore. */
async function getRestorable(managed: Managed, name: string): Promise<Restorable> {
  const snapshot = await lookupSnapshot(managed.domain, name);
  if (snapshot === null) {
    throw failure("SNAPSHOT_NOT_FOUND", { name: managed.name, snapshot: name });
  }
  const { frozen, domain } = snapshot;
  if (frozen.length === 0 || domain === undefined) {
    throw failure("RECORDS_DIFFER", {
      name: managed.name,
      reason: `snapshot "${name}" is not an external disk snapshot; only libvirt's own tools can use it`,
    });
  }
  return { ...snapshot, domain };
}

type Restorable = SnapshotDocument & { readonly domain: Element };

export async function restore(
  engine: LibvirtEngine,
  id: string,
  name: string,
  context: Context,
  { memory = false }: RestoreOptions = {},
): Promise<void> {
  const managed = await getReady(engine, id);
  await requireShutOff(managed, "Only stopped instances can be restored");
  const snapshot = await getRestorable(managed, name);
  const resume = memory ? requireMemory(managed.name, snapshot) : null;
  await reconcile(managed);
  await requireRedefinable(managed, snapshot);
  const { folder } = managed.metadata;
  const plan = restorePlan(managed, snapshot, () => newLayerPath(folder));
  const layers = plan.flatMap(({ frozen }) => frozen ?? []);
  const place = layerPlace(managed);
  // The metadata may be those of an older definition, which another hand has brought back.
  const own = mergedFormats(recordedFormats(snapshot), place.own);
  const graph = await readLayers({ ...place, own }, layers);
  for (const layer of layers) {
    await checkChain(managed.name, graph, layer);
    // The current contents are given up for the snapshot's, so its layers are checked. Checking all files below
    // would take as long as the rest of a restore.
    if (graph.formatOf(layer) === "qcow2") {
      await requireWhole(managed.name, layer);
    }
  }
  const present = { name: managed.name, active: activeLayers(managed.document) };
  const short = await keepShort(engine, present, graph, layers, runOptions(engine, id, context));
  for (const layer of layers) {
    requireDepth(managed.name, short.opened(layer).length + 1);
  }
  await checkSpace(folder);
  const firmware = await readFirmwareOf(engine, managed, snapshot, context);

  context.signal.throwIfAborted();
  const operation = { ...operationOf(name, plan), ...firmwareEntry(firmware) };
  await writeJournal(folder, operation);
  const { file } = operation;
  let restored: Managed;
  try {
    for (const disk of plan) {
      if (disk.frozen !== undefined) {
        await createOverlay(disk.file, disk.frozen, { format: graph.formatOf(disk.frozen) });
      }
    }
    await stageFirmware(firmware);
    const recorded = snapshot.domain;
    const then = readMetadata(recorded);
    const metadata = changedMetadata(managed.metadata, {
      record: {
        cloudInstanceId: then?.record.cloudInstanceId ?? managed.metadata.record.cloudInstanceId,
        // Its guest has yet to make the host key of this instance.
        ...(then?.imported === true ? { hostKey: "" } : {}),
      },
      mounts: then?.mounts ?? [],
      resume,
      ...ownOf(managed.metadata, then),
    });
    const files = new Map(plan.flatMap((disk) => (disk.file === "" ? [] : [[disk.target, disk.file]])));
    const document = restoredDomain(recorded, managed.document, files, metadata);
    await putMounts(engine, document, metadata, context);
    // Building keyframes may have taken long, and others may have started the instance.
    await requireShutOff({ ...managed, shutOff: false }, "Only stopped instances can be restored");
    await requireSameDisks(managed);
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
  await warnOfMedia(restored, context);
  handOn(restored);
}

/** The files that domains brought along: with those of the snapshot that an older definition does not have. */
function ownOf(now: Metadata, then: Metadata | undefined): Pick<Metadata, "own"> {
  const known = (file: OwnFile) =>
    now.own?.some((own) => own.target === file.target && own.file === file.file) === true;
  const further = (then?.own ?? []).filter((file) => !known(file));
  return further.length === 0 ? {} : { own: [...(now.own ?? []), ...further] };
}

/** What a restore does with the disk of a target. */
interface RestoredDisk {
  readonly target: string;
  /** The overlay that it gets; "" if the snapshot lacks the disk. */
  readonly file: string;
  /** What the overlay stands on. */
  readonly frozen?: string;
  /** The file that it gives up; "" if the instance lacks the disk. */
  readonly old: string;
}

/**
 * The instance gets the disks of the snapshot, the system disk first. A disk that is left out of snapshots stays
 * as it is, whether it was left out then or is now.
 */
function restorePlan(
  { document, metadata }: Managed,
  { domain, targets, frozen }: Restorable,
  newFile: () => string,
): RestoredDisk[] {
  const stays = new Set(stayingDisks(domain, targets, document, metadata));
  const present = new Map(
    coveredDisks(document, metadata).map(({ target, file }) => [target, file] as const),
  );
  const brought = targets.flatMap((target, at) =>
    stays.has(target)
      ? []
      : [{ target, file: newFile(), frozen: frozen[at] ?? "", old: present.get(target) ?? "" }],
  );
  const leaving = [...present].flatMap(([target, old]) =>
    stays.has(target) || targets.includes(target) ? [] : [{ target, file: "", old }],
  );
  return [...brought, ...leaving];
}

function operationOf(name: string, plan: readonly RestoredDisk[]): OperationOf<"restore"> {
  const [system, ...further] = plan.map(({ target, file, old }) => ({
    target,
    file,
    old,
    stamp: old === "" ? "" : stampText(old),
  }));
  const { file = "", old = "", stamp = "" } = system ?? {};
  return {
    kind: "restore",
    name,
    file,
    old,
    stamp,
    ...(further.length === 0 ? {} : { disks: further }),
  };
}
