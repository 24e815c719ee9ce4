import type { Disk, Removal, Snapshot, SnapshotOutline, SnapshotTree } from "../../../lib/engine/contract.ts";
import { isStrataError } from "../../../lib/errors.ts";
import { getManaged, type LibvirtEngine, type LockState, type Managed, peek } from "../engine.ts";
import { isPending } from "../journal/recover.ts";
import type { OwnFormats } from "../layers/layer-graph.ts";
import { layerSize, readLayer } from "../layers/layers.ts";
import type { Format } from "../qcow2/header.ts";
import { readImage } from "../qcow2/image.ts";
import { readDisk, writtenDisks } from "../xml/disks.ts";
import { parse } from "../xml/document.ts";
import { readInterfaces } from "../xml/domain.ts";
import { readMetadata } from "../xml/metadata.ts";
import { ownFormats } from "../xml/own-files.ts";
import { readResources } from "../xml/resources.ts";
import { readSnapshot, recordedFormats, type SnapshotDocument } from "../xml/snapshot.ts";
import { reconcileNames } from "./reconcile.ts";
import {
  currentName,
  listRecords,
  listSnapshots,
  lookupRemoval,
  lookupSnapshot,
  standsOn,
} from "./records.ts";

/** True if a tree that was read in several calls is consistent: everything that it refers to is in it. */
export function isClosed({ snapshots, standsOn }: SnapshotTree): boolean {
  const names = snapshots.map(({ name }) => name);
  const known = new Set<string | null>([null, ...names]);
  return standsWithin({ names, standsOn }) && snapshots.every(({ parent }) => known.has(parent));
}

export function standsWithin({ names, standsOn }: SnapshotOutline): boolean {
  return standsOn === null || names.includes(standsOn);
}

export async function tree(engine: LibvirtEngine, id: string): Promise<SnapshotTree> {
  const managed = await getManaged(engine, id);
  const snapshots = await listSnapshots(managed.domain);
  if (snapshots.length === 0) {
    return { snapshots: [], standsOn: null };
  }
  const activeLayer = readDisk(managed.document);
  const [records, position] = await Promise.all([
    Promise.all(snapshots.map((snapshot) => toRecord(snapshot))),
    readPosition(managed, snapshots, activeLayer),
  ]);
  records.sort((a, b) => a.createdAt - b.createdAt || a.name.localeCompare(b.name));
  return { snapshots: records, standsOn: position };
}

/**
 * Users who may read the domain but not its files get libvirt's current snapshot. So does everyone if the
 * layers cannot be read: one missing layer must not hide the rest.
 */
async function readPosition(
  managed: Managed,
  snapshots: readonly Pick<SnapshotDocument, "name" | "frozen">[],
  activeLayer: string,
): Promise<string | null> {
  return standsOn(managed, snapshots, activeLayer).catch((error: unknown) => {
    if (isStrataError(error)) {
      return currentName(managed.domain);
    }
    throw error;
  });
}

/**
 * libvirt's current snapshot is trusted if the active layer stands directly on the file that it froze.
 * Otherwise the tree is read.
 */
export async function outline(engine: LibvirtEngine, id: string): Promise<SnapshotOutline> {
  const lockState = engine.lockStates.get(id);
  // Once a change has begun, readers must not touch what it works on.
  if (lockState?.read !== undefined && !(await isPending(lockState.read))) {
    return outlineLocked(lockState, lockState.read);
  }
  const managed = await getManaged(engine, id);
  const { domain, document, name } = managed;
  const activeLayer = readDisk(document);
  const [all, current] = await Promise.all([domain.listSnapshots(), domain.currentSnapshot()]);
  const names = all.map((snapshot) => snapshot.name);
  if (current !== null && activeLayer !== "") {
    const [{ frozen }, { backing }] = await Promise.all([
      current.getXml().then(parse).then(readSnapshot),
      readLayer(name, activeLayer, formatIn(managed, activeLayer)).catch(() => ({ backing: null })),
    ]);
    if (frozen[0] !== undefined && frozen[0] === backing) {
      return { names, standsOn: current.name };
    }
  }
  return { names, standsOn: await readPosition(managed, await listRecords(domain), activeLayer) };
}

function formatIn({ document, metadata }: Managed, file: string): Format {
  return ownFormats(document, metadata).get(file) ?? "qcow2";
}

/** For an instance that was just locked, this reads what its next change needs of the records. */
async function outlineLocked(lockState: LockState, managed: Managed): Promise<SnapshotOutline> {
  const { names, copies } = await reconcileNames(managed);
  lockState.copies = copies;
  const recorded = copies.filter(({ name }) => names.includes(name));
  return { names, standsOn: await readPosition(managed, recorded, readDisk(managed.document)) };
}

/** One snapshot, whose record alone is read. */
export async function find(engine: LibvirtEngine, id: string, name: string): Promise<Snapshot | null> {
  const { domain } = await peek(engine, id);
  const snapshot = await lookupSnapshot(domain, name);
  return snapshot === null ? null : toRecord(snapshot);
}

export async function removal(engine: LibvirtEngine, id: string, name: string): Promise<Removal | null> {
  const { domain } = await peek(engine, id);
  return lookupRemoval(domain, name);
}

async function toRecord(snapshot: SnapshotDocument): Promise<Snapshot> {
  const { domain, frozen } = snapshot;
  const formats = recordedFormats(snapshot);
  const [system = 0n] = await Promise.all(frozen.slice(0, 1).map((file) => virtualSize(file, formats)));
  const further = await furtherDisks(snapshot);
  const resources = domain === undefined ? { cpus: 0, memory: 0n } : readResources(domain);
  const recorded = domain === undefined ? undefined : readMetadata(domain);
  return {
    name: snapshot.name,
    comment: snapshot.comment,
    parent: snapshot.parent,
    createdAt: snapshot.createdAt,
    resources: { ...resources, disk: system, ...(further.length === 0 ? {} : { disks: further }) },
    mounts: recorded?.mounts ?? [],
    nics: domain === undefined ? [] : readInterfaces(domain).slice(1),
    cloudInstanceId: recorded?.record.cloudInstanceId ?? "",
    size: await sizeOfAll(frozen),
    ...(snapshot.consistency === "stopped" ? {} : { consistency: snapshot.consistency }),
    ...(snapshot.consistency === "memory" ? { memorySize: await layerSize(snapshot.memory) } : {}),
    ...(snapshot.group === undefined ? {} : { group: snapshot.group }),
  };
}

/** Disk space that the files use; null if there are none, or one of them cannot be accessed. */
async function sizeOfAll(files: readonly string[]): Promise<bigint | null> {
  const sizes = await Promise.all(files.map(layerSize));
  return sizes.length === 0
    ? null
    : sizes.reduce((sum, size) => (sum === null || size === null ? null : sum + size), 0n as bigint | null);
}

async function virtualSize(file: string, formats: OwnFormats): Promise<bigint> {
  return readImage(file, formats.get(file) ?? "qcow2").then(
    (header) => header.virtualSize,
    () => 0n,
  );
}

/** The disks beside the system disk that the guest wrote then; those are excluded that the snapshot does not cover. */
async function furtherDisks({ domain, targets, frozen }: SnapshotDocument): Promise<Disk[]> {
  const formats = recordedFormats({ domain });
  const [, ...further] = domain === undefined || targets.length === 0 ? [] : writtenDisks(domain);
  return Promise.all(
    further.map(async ({ target, file }) => {
      const layer = frozen[targets.indexOf(target)];
      return {
        name: target,
        size: await virtualSize(layer ?? file, formats),
        ...(layer === undefined ? { excluded: true as const } : {}),
      };
    }),
  );
}
