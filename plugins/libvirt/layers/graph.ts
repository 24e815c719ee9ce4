import { dirname } from "node:path";
import { failure } from "../../../lib/errors.ts";
import { quote } from "../../../lib/util/quote.ts";
import { isShutOff } from "../domain/view.ts";
import type { Managed } from "../engine.ts";
import { readPinned } from "../pins/pins.ts";
import type { Format, Qcow2Header } from "../qcow2/header.ts";
import { readImage } from "../qcow2/image.ts";
import { listCopies, type RecordCopy } from "../snapshots/record-copies.ts";
import { isGone } from "../storage/pool.ts";
import { activeLayers, readDisk, readOtherDisks } from "../xml/disks.ts";
import { parse } from "../xml/document.ts";
import type { LayerGraph } from "./layer-graph.ts";
import { layerPlace, readLayers } from "./layers.ts";
import { isLayerPath } from "./names.ts";

/**
 * The layers of an instance and everything that stands on them, as far as its definition (with all disks),
 * its snapshots and its pending removals show, wherever it is: what a removal must consider. A file that is
 * gone stands on nothing.
 */
export async function readGraph(
  managed: Managed,
  copies?: readonly Pick<RecordCopy, "frozen">[],
): Promise<LayerGraph> {
  const { folder } = managed.metadata;
  const active = [
    readDisk(managed.document),
    ...activeLayers(managed.document).filter((path) => isLayerPath(folder, path)),
  ];
  const frozen = (copies ?? (await listCopies(folder))).flatMap((record) => record.frozen);
  const elsewhere = new Set(frozen.filter((path) => dirname(path) !== folder));
  const place = layerPlace(managed);
  for (const path of readOtherDisks(managed.document)) {
    if (await leadsTo(place, path)) {
      elsewhere.add(path);
    }
  }
  const graph = await readLayers(place, [...active, ...(await thoseThere(elsewhere))]);
  const above = [...graph.pendingRemovals.values()].flatMap(({ above }) => above);
  const further = above.filter((path) => !elsewhere.has(path) && !graph.headers.has(path));
  if (further.length === 0) {
    return graph;
  }
  return readLayers(place, [...active, ...(await thoseThere([...elsewhere, ...further]))]);
}

/** True if a file elsewhere stands on one in the folder. */
async function leadsTo({ folder, own }: Pick<LayerGraph, "folder" | "own">, path: string): Promise<boolean> {
  const seen = new Set<string>();
  for (let at: string | null = path; at !== null && !seen.has(at); ) {
    if (dirname(at) === folder) {
      return at !== path;
    }
    seen.add(at);
    const format: Format = own.get(at) ?? "qcow2";
    const header: Qcow2Header | null = await readImage(at, format).catch(() => null);
    at = header === null || header.backingFormat === "raw" ? null : header.backing;
  }
  return false;
}

/**
 * The files that other disks of the definition are read from: those that a guest does not write, and further
 * disks whose file is elsewhere. They are not strata's to change.
 */
export function readByOthers(
  { document, metadata }: Pick<Managed, "document" | "metadata">,
  graph: LayerGraph,
): ReadonlySet<string> {
  const ours = activeLayers(document).filter((path) => dirname(path) === metadata.folder);
  const others = readOtherDisks(document).filter((path) => !ours.includes(path));
  return new Set(others.flatMap((path) => graph.chain(path)));
}

async function thoseThere(paths: Iterable<string>): Promise<string[]> {
  const there = await Promise.all([...paths].map(async (path) => ((await isGone(path)) ? [] : [path])));
  return there.flat();
}

/**
 * The files that a running guest writes, which may differ from those of its next start; null if no guest runs.
 */
export async function readLiveDisks({ domain }: Managed): Promise<string[] | null> {
  return (await domain.isActive()) ? activeLayers(await parse(await domain.getXml())) : null;
}

/** The files that a guest with saved memory would write after it is resumed; null if there is none. */
async function readSavedDisks({ domain }: Managed): Promise<string[] | null> {
  const saved = await domain.managedSaveXml();
  return saved === null ? null : activeLayers(await parse(saved));
}

/**
 * The layers that must not change: those that a running guest uses, which may differ from its definition's, all
 * layers while its memory is saved, and those that a backup reads.
 */
export async function findInUse(managed: Managed, graph: LayerGraph): Promise<ReadonlySet<string>> {
  const pinned = await readPinned(managed.metadata.folder);
  if (await isShutOff(managed)) {
    return pinned;
  }
  const live = await readLiveDisks(managed);
  if (live === null || !(await isKnown(live, graph))) {
    return new Set([...graph.headers.keys(), ...pinned]);
  }
  const read = [...live, ...activeLayers(managed.document)].flatMap((path) => graph.chain(path));
  return new Set([...read, ...pinned]);
}

/** True if the graph shows what a guest that writes these files reads: all of them, or none of the layers. */
async function isKnown(files: readonly string[], graph: LayerGraph): Promise<boolean> {
  const { headers, folder } = graph;
  const [system = "", ...further] = files;
  if (!headers.has(system)) {
    return false;
  }
  const known = further.map(
    async (path) => headers.has(path) || (dirname(path) !== folder && !(await leadsTo(graph, path))),
  );
  return (await Promise.all(known)).every(Boolean);
}

/** Why a guest must not write to the disk that its definition names. */
export interface Obstacle {
  readonly kind: "frozen" | "depended-on";
  readonly file: string;
  readonly reason: string;
  /** The snapshot that froze it, if one did. */
  readonly snapshot?: string;
}

/**
 * The one rule for what may be started, snapshotted and written: no file in the definition was frozen by a
 * snapshot, including snapshots whose records libvirt has lost, and no layer stands on one. An old definition
 * that was brought back with virsh breaks the rule: a guest that writes there changes snapshots.
 */
export function findObstacle(
  active: readonly string[],
  graph: LayerGraph,
  copies: readonly Pick<RecordCopy, "name" | "frozen">[],
): Obstacle | undefined {
  return active.map((path) => obstacleOf(path, graph, copies)).find((found) => found !== undefined);
}

function obstacleOf(
  activeLayer: string,
  graph: LayerGraph,
  copies: readonly Pick<RecordCopy, "name" | "frozen">[],
): Obstacle | undefined {
  const owner = copies.find(({ frozen }) => frozen.includes(activeLayer));
  if (owner !== undefined) {
    return {
      kind: "frozen",
      file: activeLayer,
      reason: `its disk ${activeLayer} belongs to snapshot "${owner.name}"`,
      snapshot: owner.name,
    };
  }
  if (graph.dependants(activeLayer).length === 0) {
    return undefined;
  }
  return { kind: "depended-on", file: activeLayer, reason: `other layers stand on its disk ${activeLayer}` };
}

/** What the user can do about an obstacle. */
export function remedyFor(instance: string, { snapshot }: Obstacle): string {
  return snapshot === undefined
    ? "see `strata doctor`"
    : `\`strata restore ${quote(`${instance}.${snapshot}`)}\` gives it a new disk`;
}

/** Rejects with the remedy if `findObstacle` finds an obstacle. */
export function requireWritable(
  { name, document }: Managed,
  graph: LayerGraph,
  copies: readonly Pick<RecordCopy, "name" | "frozen">[],
): void {
  const obstacle = findObstacle(activeLayers(document), graph, copies);
  if (obstacle === undefined) {
    return;
  }
  throw failure("RECORDS_DIFFER", { name, reason: `${obstacle.reason}; ${remedyFor(name, obstacle)}` });
}

/** A guest with a definition of its own: one that is running, or whose memory is saved. */
export interface Guest {
  readonly state: "running" | "saved";
  /** The files that it writes, or will write once it is resumed. */
  readonly disks: readonly string[];
}

/** The guest of an instance, if it has one. Its disks may differ from those in the definition. */
export async function readGuest(managed: Managed): Promise<Guest | undefined> {
  const live = await readLiveDisks(managed);
  if (live !== null) {
    return { state: "running", disks: live };
  }
  const saved = await readSavedDisks(managed);
  return saved === null ? undefined : { state: "saved", disks: saved };
}

/** Rejects if a guest with saved memory would, once resumed, write to a disk that it must not change. */
export async function requireResumable(managed: Managed): Promise<void> {
  const { name, metadata } = managed;
  const disks = await readSavedDisks(managed);
  if (disks === null) {
    return;
  }
  const copies = await listCopies(metadata.folder);
  const graph = await readGraph(managed, copies);
  const obstacle = findObstacle(disks, graph, copies);
  if (obstacle === undefined) {
    return;
  }
  const way = `\`strata stop --force ${quote(name)}\` discards its saved memory`;
  throw failure("RECORDS_DIFFER", { name, reason: `${obstacle.reason}; ${way}` });
}
