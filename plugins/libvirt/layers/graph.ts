import { dirname } from "node:path";
import { failure } from "../../../lib/errors.ts";
import { isShutOff } from "../domain/view.ts";
import type { Managed } from "../engine.ts";
import { readHeader } from "../qcow2/header.ts";
import { listCopies, type RecordCopy } from "../snapshots/record-copies.ts";
import { isGone } from "../storage/pool.ts";
import { readDisk, readOtherDisks } from "../xml/disks.ts";
import { parse } from "../xml/document.ts";
import { type LayerGraph, readLayers } from "./layers.ts";

/**
 * The layers of an instance with all that stands on them as far as its definition, with all its disks, its snapshots
 * and the releases tell, wherever it is: what a removal must look at. A file that is gone stands on nothing.
 */
export async function readGraph(
  managed: Managed,
  copies?: readonly Pick<RecordCopy, "frozen">[],
): Promise<LayerGraph> {
  const { folder } = managed.metadata;
  const activeLayer = readDisk(managed.document);
  const frozen = (copies ?? (await listCopies(folder))).flatMap((record) => record.frozen ?? []);
  const elsewhere = new Set(frozen.filter((path) => dirname(path) !== folder));
  for (const path of readOtherDisks(managed.document)) {
    if (await leadsTo(folder, path)) {
      elsewhere.add(path);
    }
  }
  const graph = await readLayers(managed.name, folder, [activeLayer, ...(await thoseThere(elsewhere))]);
  const above = [...graph.pendingRemovals.values()].flatMap(({ above }) => above);
  const further = above.filter((path) => !elsewhere.has(path) && !graph.headers.has(path));
  if (further.length === 0) {
    return graph;
  }
  return readLayers(managed.name, folder, [activeLayer, ...(await thoseThere([...elsewhere, ...further]))]);
}

/** True for a file elsewhere that stands on one in the folder. */
async function leadsTo(folder: string, path: string): Promise<boolean> {
  const seen = new Set<string>();
  for (let at: string | null = path; at !== null && !seen.has(at); ) {
    if (dirname(at) === folder) {
      return at !== path;
    }
    seen.add(at);
    const header: { readonly backing: string | null } | null = await readHeader(at).catch(() => null);
    at = header === null ? null : header.backing;
  }
  return false;
}

/** What further disks of the definition are read from: it is not strata's to change. */
export function readByOthers(
  { document }: Pick<Managed, "document">,
  graph: LayerGraph,
): ReadonlySet<string> {
  return new Set(readOtherDisks(document).flatMap((path) => graph.chain(path)));
}

async function thoseThere(paths: Iterable<string>): Promise<string[]> {
  const there = await Promise.all([...paths].map(async (path) => ((await isGone(path)) ? [] : [path])));
  return there.flat();
}

/** The file that a running guest writes, which may be another than that of its next start; null where none runs. */
export async function readLiveDisk({ domain }: Managed): Promise<string | null> {
  return (await domain.isActive()) ? readDisk(await parse(await domain.getXml())) : null;
}

/** The file that a guest whose memory is saved would write once it is resumed; null where none is. */
async function readSavedDisk({ domain }: Managed): Promise<string | null> {
  const saved = await domain.managedSaveXml();
  return saved === null ? null : readDisk(await parse(saved));
}

/**
 * The layers that must stay as they are: those that a guest runs on, which may be others than its definition
 * says, and all of them while its memory is saved.
 */
export async function findInUse(managed: Managed, graph: LayerGraph): Promise<ReadonlySet<string>> {
  if (await isShutOff(managed)) {
    return new Set();
  }
  const live = await readLiveDisk(managed);
  if (live === null || !graph.headers.has(live)) {
    return new Set(graph.headers.keys());
  }
  return new Set([...graph.chain(live), ...graph.chain(readDisk(managed.document))]);
}

/** Why a guest may not write the disk that an instance's definition names. */
export interface Obstacle {
  readonly kind: "frozen" | "depended-on";
  readonly reason: string;
  /** The snapshot that froze it, where one did. */
  readonly snapshot?: string;
}

/**
 * The one rule for what may be started, snapshotted and written: the file that the definition names was frozen by
 * no snapshot, also none whose record libvirt has lost, and no layer stands on it. A definition of old that was
 * brought back with virsh breaks it: a guest that writes there changes snapshots.
 */
export function findObstacle(
  activeLayer: string,
  graph: LayerGraph,
  copies: readonly Pick<RecordCopy, "name" | "frozen">[],
): Obstacle | undefined {
  const owner = copies.find(({ frozen }) => frozen === activeLayer);
  if (owner !== undefined) {
    return {
      kind: "frozen",
      reason: `its disk ${activeLayer} is what snapshot "${owner.name}" keeps`,
      snapshot: owner.name,
    };
  }
  if (graph.dependants(activeLayer).length === 0) {
    return undefined;
  }
  return { kind: "depended-on", reason: `other layers stand on its disk ${activeLayer}` };
}

/** What there is to do about an obstacle, for people. */
export function remedyFor(instance: string, { snapshot }: Obstacle): string {
  return snapshot === undefined
    ? "`strata doctor` shows which"
    : `\`strata restore ${instance}.${snapshot}\` gives it a disk of its own`;
}

/** Rejects where `findObstacle` finds one, with the way out. */
export function requireWritable(
  { name, document }: Managed,
  graph: LayerGraph,
  copies: readonly Pick<RecordCopy, "name" | "frozen">[],
): void {
  const obstacle = findObstacle(readDisk(document), graph, copies);
  if (obstacle === undefined) {
    return;
  }
  throw failure("RECORDS_DIFFER", { name, reason: `${obstacle.reason}; ${remedyFor(name, obstacle)}` });
}

/** A guest with a definition of its own: one that runs, or whose memory is saved. */
export interface Guest {
  readonly state: "running" | "saved";
  /** The file that it writes, or will once it is resumed. */
  readonly disk: string;
}

/** The guest of an instance, where it has one: its disk may be another than the definition says. */
export async function readGuest(managed: Managed): Promise<Guest | undefined> {
  const live = await readLiveDisk(managed);
  if (live !== null) {
    return { state: "running", disk: live };
  }
  const saved = await readSavedDisk(managed);
  return saved === null ? undefined : { state: "saved", disk: saved };
}

/** Rejects where a guest whose memory is saved would write, once resumed, what it must not. */
export async function requireResumable(managed: Managed): Promise<void> {
  const { name, metadata } = managed;
  const disk = await readSavedDisk(managed);
  if (disk === null) {
    return;
  }
  const copies = await listCopies(metadata.folder);
  const graph = await readGraph(managed, copies);
  const obstacle = findObstacle(disk, graph, copies);
  if (obstacle === undefined) {
    return;
  }
  const way = `\`strata stop --force ${name}\` gives its saved memory up`;
  throw failure("RECORDS_DIFFER", { name, reason: `${obstacle.reason}; ${way}` });
}
