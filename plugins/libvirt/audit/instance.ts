import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Finding } from "../../../lib/engine/contract.ts";
import { isStrataError } from "../../../lib/errors.ts";
import { quote } from "../../../lib/util/quote.ts";
import { findDifference } from "../domain/definition-chain.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import { fileError, isAbsent, isLibvirt, libvirtError } from "../errors.ts";
import { findUnderWay } from "../journal/findings.ts";
import { readGraph, readGuest } from "../layers/graph.ts";
import type { LayerGraph } from "../layers/layer-graph.ts";
import { isImagePath, isPartialPath, layerOf } from "../layers/names.ts";
import { instanceFolder } from "../lifecycle/removal.ts";
import { readImage } from "../qcow2/image.ts";
import { deletedByLibvirt } from "../snapshots/reconcile.ts";
import { listCopies, type RecordCopy } from "../snapshots/record-copies.ts";
import { currentName, listRecords, lookupSnapshot, standsOn } from "../snapshots/records.ts";
import { isExposed } from "../snapshots/redefine.ts";
import { isGone } from "../storage/pool.ts";
import { activeLayers, managedTarget, ownLayers, readDisk } from "../xml/disks.ts";
import type { SnapshotPlace } from "../xml/snapshot.ts";
import { findDamaged } from "./layer-health.ts";
import { findMemory } from "./memory.ts";
import { findLeftLayers } from "./orphans.ts";
import {
  findForeign,
  findLost,
  findMisplaced,
  findMisplacedGuest,
  findRewritten,
  findShared,
  findUnwritable,
  type InstanceFinding,
} from "./records.ts";

/**
 * Finds all inconsistencies between an instance's definition, snapshots and files. Changes nothing. While
 * another process has locked the instance, a finding may be one of its steps.
 */
export async function findInInstance(engine: LibvirtEngine, managed: Managed): Promise<Finding[]> {
  const findings = await look(engine, managed).catch((error: unknown): InstanceFinding[] => {
    if (isLibvirt(error, "NO_DOMAIN")) {
      return [];
    }
    // A snapshot that disappears while it is read was deleted by another process.
    if (!isStrataError(error) && !isLibvirt(error, "NO_DOMAIN_SNAPSHOT")) {
      throw error;
    }
    const detail = libvirtError(error).message;
    return [{ kind: "unreadable", subject: managed.metadata.folder, detail }];
  });
  return findings.map((finding) => ({ ...finding, instance: managed.name }));
}

async function look(engine: LibvirtEngine, managed: Managed): Promise<InstanceFinding[]> {
  const { metadata, name, document } = managed;
  const { folder } = metadata;
  if (await isGone(folder)) {
    return [
      {
        kind: "folder-missing",
        subject: folder,
        detail: `${folder} does not exist, nor do its layers: restore it from a backup or mount its file system; to give the instance up, run \`strata delete --purge ${quote(name)}\``,
      },
    ];
  }
  const underWay = await findUnderWay(managed);
  if (underWay.some(({ kind }) => kind === "operation-unfinished")) {
    const records = await listRecords(managed.domain);
    return [...underWay, ...findLost(await findLostCopies(managed, records, await listCopies(folder)))];
  }
  const pool = await engine.pool();
  const found = [...underWay];
  if (folder !== instanceFolder(pool, managed.domain.uuid)) {
    found.push({
      kind: "folder-elsewhere",
      subject: folder,
      detail: `its files are in ${folder}, not in its folder in the pool ${pool}`,
    });
  }
  const files = await readdir(folder).catch((error: unknown) => {
    throw fileError(error, folder);
  });
  const records = await listRecords(managed.domain);
  const copies = await listCopies(folder);
  const lost = await findLostCopies(managed, records, copies);
  const owners = [...records, ...lost];
  const activeLayer = readDisk(document);
  const graph = await readGraph(managed, owners);
  const broken = findUnreadable(graph);
  found.push(...findForeign(records), ...findLost(lost), ...broken);
  if (broken.length > 0) {
    return found;
  }
  const active = activeLayers(document);
  const missing = await findMissing(graph, owners, ownLayers(document, folder));
  found.push(...missing, ...findShared(records));
  if (activeLayer === "") {
    found.push({
      kind: "disk-detached",
      subject: managedTarget(document),
      detail: `its definition has no disk ${managedTarget(document)} any more; the active layer still exists`,
    });
  }
  found.push(...findUnwritable(active, graph, owners, name));
  const guest = await readGuest(managed);
  if (guest?.disks.some((path) => !active.includes(path))) {
    found.push(...findMisplacedGuest(guest, graph, owners, name));
  }
  const difference = await findDifference(document, managed.metadata);
  if (difference !== undefined) {
    found.push({ kind: "chain-differs", subject: activeLayer, detail: difference });
  }
  if (missing.length === 0) {
    found.push(...findMisplaced(graph, owners), ...findRewritten(records));
    found.push(...(await findCurrentSnapshot(managed, records, activeLayer)));
  }
  found.push(...(await findLeftLayers(managed, graph, owners, records)));
  found.push(...(await findMemory(managed, files, records, copies)));
  found.push(...findLeftFiles(graph, files), ...(await findAccessible(folder, files)));
  found.push(...(await findDamaged(managed, graph, records)));
  return found;
}

/**
 * The copies whose records libvirt has lost, without those of snapshots that libvirt's own tools have
 * deleted.
 */
async function findLostCopies(
  managed: Managed,
  records: readonly SnapshotPlace[],
  copies: readonly RecordCopy[],
): Promise<RecordCopy[]> {
  const listed = new Set(records.map(({ name }) => name));
  const lost = copies.filter(({ name }) => !listed.has(name));
  const deleted = await deletedByLibvirt(managed, lost, records);
  return lost.filter((copy) => !deleted.includes(copy));
}

function findUnreadable({ unreadable, folder }: LayerGraph): InstanceFinding[] {
  return [...unreadable]
    .filter(([path, { code }]) => code !== "LAYER_MISSING" && path.startsWith(`${folder}/`))
    .map(([path, { details, message }]) => ({
      kind: "layer-unreadable",
      subject: path,
      detail: String(details.reason ?? message),
    }));
}

/** Files that a snapshot or the domain needs and that do not exist. */
async function findMissing(
  graph: LayerGraph,
  snapshots: readonly Pick<SnapshotPlace, "name" | "frozen">[],
  active: readonly string[],
): Promise<InstanceFinding[]> {
  const needed = new Map<string, string>();
  for (const [path, { backing, through }] of graph.headers) {
    if (backing !== null) {
      needed.set(backing, `${path} stands on it`);
    }
    if (through !== null && through !== backing) {
      needed.set(through, `${path} reads through it`);
    }
  }
  for (const { name, frozen } of snapshots) {
    for (const file of frozen) {
      needed.set(file, `it belongs to snapshot "${name}"`);
    }
  }
  for (const path of active) {
    needed.set(path, "it is the active layer");
  }
  const found = await Promise.all(
    [...needed].map(async ([path, why]) => {
      if (graph.headers.has(path) || graph.flattened.has(path)) {
        return [];
      }
      const there = await readImage(path, graph.formatOf(path)).then(
        () => true,
        () => false,
      );
      return there
        ? []
        : [{ kind: "layer-missing", subject: path, detail: `${path} cannot be read; ${why}` }];
    }),
  );
  return found.flat();
}

async function findCurrentSnapshot(
  managed: Managed,
  snapshots: readonly SnapshotPlace[],
  activeLayer: string,
): Promise<InstanceFinding[]> {
  const [current, stands] = await Promise.all([
    currentName(managed.domain),
    standsOn(managed, snapshots, activeLayer),
  ]);
  if (stands === null) {
    return [];
  }
  if (current === stands) {
    const snapshot = await lookupSnapshot(managed.domain, current);
    if (snapshot === null || !(await isExposed(managed, snapshot))) {
      return [];
    }
    return [
      {
        kind: "current-snapshot-exposed",
        subject: stands,
        detail: `a restore with virsh would remove ${snapshot.overlays.join(", ")}, which libvirt's record of "${stands}" names as the current disk`,
        repair: "put the active layer into the record",
      },
    ];
  }
  return [
    {
      kind: "current-snapshot-misplaced",
      subject: stands,
      detail: `the current snapshot is "${stands}", but libvirt says ${current === null ? "none" : `"${current}"`}`,
      repair: `make "${stands}" libvirt's current snapshot`,
    },
  ];
}

/** Files that interrupted builds have left, and flattened copies without a layer. */
function findLeftFiles(graph: LayerGraph, files: readonly string[]): InstanceFinding[] {
  const { folder } = graph;
  const found: InstanceFinding[] = [];
  for (const file of files) {
    const path = join(folder, file);
    if (isPartialPath(folder, path)) {
      found.push({
        kind: "build-left",
        subject: path,
        detail: `${path} is an incomplete file of an interrupted build`,
        repair: "remove it",
      });
    }
  }
  const used = new Set([...graph.headers.values()].map(({ through }) => through));
  for (const { backing } of graph.flattened.values()) {
    used.add(backing);
  }
  for (const path of graph.flattened.keys()) {
    if (!used.has(path) && !graph.headers.has(layerOf(folder, path))) {
      found.push({
        kind: "flattened-copy-left",
        subject: path,
        detail: `${path} is the flattened copy of a layer that is gone, and nothing reads through it`,
        repair: "remove it",
      });
    }
  }
  return found;
}

async function findAccessible(folder: string, files: readonly string[]): Promise<InstanceFinding[]> {
  const found = await Promise.all(
    files.map(async (file) => {
      const path = join(folder, file);
      if (!isImagePath(folder, path)) {
        return [];
      }
      const mode = await stat(path).then(
        (found) => found.mode,
        (error: unknown) => {
          if (isAbsent(error)) {
            return 0;
          }
          throw fileError(error, path);
        },
      );
      if ((mode & 0o077) === 0) {
        return [];
      }
      const rights = (mode & 0o777).toString(8);
      return [
        {
          kind: "file-accessible",
          subject: path,
          detail: `users other than its owner can access ${path}: its mode is ${rights}`,
          repair: "change its mode to 600",
        },
      ];
    }),
  );
  return found.flat();
}
