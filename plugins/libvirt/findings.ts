import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Finding } from "../../lib/backend/contract.ts";
import { asStrataError, isStrataError } from "../../lib/errors.ts";
import type { Engine, Managed } from "./engine.ts";
import { fileError, isAbsent, isLibvirt, libvirtError } from "./errors.ts";
import { readGraph } from "./graph.ts";
import { findDamaged } from "./layer-health.ts";
import { isImagePath, isLayerPath, isPartialPath, type LayerGraph, layerOf, readLayer } from "./layers.ts";
import { readHeader } from "./qcow2-header.ts";
import { holdsData } from "./qemu-img.ts";
import {
  findForeign,
  findFrozenHead,
  findMisplaced,
  findRewritten,
  findShared,
  type Note,
} from "./record-findings.ts";
import { instanceFolder } from "./removal.ts";
import { currentName, listPlaces, standsOn } from "./snapshot-records.ts";
import { isSettled } from "./view.ts";
import { readDisk } from "./xml/domain.ts";
import type { SnapshotPlace } from "./xml/snapshot.ts";

/**
 * Everything about an instance that does not agree: its definition, its snapshots, its files. Changes
 * nothing. While somebody holds the instance, what is found may be a step of theirs.
 */
export async function findInInstance(engine: Engine, managed: Managed): Promise<Finding[]> {
  const notes = await look(engine, managed).catch((error: unknown): Note[] => {
    if (isLibvirt(error, "NO_DOMAIN")) return [];
    // A snapshot that goes while it is read is a step of somebody's.
    if (!isStrataError(error) && !isLibvirt(error, "NO_DOMAIN_SNAPSHOT")) throw error;
    const detail = libvirtError(error).message;
    return [{ kind: "unreadable", subject: managed.metadata.folder, detail }];
  });
  return notes.map((note) => ({ ...note, instance: managed.name }));
}

async function look(engine: Engine, managed: Managed): Promise<Note[]> {
  const { metadata, name } = managed;
  const { operation, folder } = metadata;
  if (operation !== undefined)
    return [
      {
        kind: "operation-unfinished",
        subject: operation.kind,
        detail: `"${operation.kind}" was under way when its process died`,
        repair: "finish or undo it, as the next change of the instance would",
      },
    ];
  const pool = await engine.pool();
  const elsewhere =
    folder === instanceFolder(pool, managed.domain.uuid)
      ? []
      : [
          {
            kind: "folder-elsewhere",
            subject: folder,
            detail: `its files are to be in ${folder}, and the pool is ${pool}`,
          },
        ];
  const files = await readdir(folder).catch((error: unknown) => {
    throw fileError(error, folder);
  });
  const broken = await findUnreadable(folder, files);
  if (broken.length > 0) return [...elsewhere, ...broken];
  const snapshots = await listPlaces(managed.domain);
  const head = readDisk(managed.document);
  const graph = await readGraph(managed, snapshots);
  const structure = [
    ...findForeign(snapshots),
    ...(await findMissing(graph, snapshots, head)),
    ...findShared(snapshots),
  ];
  if (structure.length > 0) return [...elsewhere, ...structure];
  return [
    ...elsewhere,
    ...findFrozenHead(snapshots, head, name),
    ...findMisplaced(graph, snapshots),
    ...findRewritten(snapshots),
    ...(await findMark(managed, snapshots, head)),
    ...(await findLeft(managed, graph, files, snapshots, head)),
    ...(await findOpen(folder, files)),
    ...(await findDamaged(managed, graph, snapshots)),
  ];
}

async function findUnreadable(folder: string, files: readonly string[]): Promise<Note[]> {
  const paths = files.map((file) => join(folder, file)).filter((path) => isLayerPath(folder, path));
  const found = await Promise.all(
    paths.map((path) =>
      readLayer("", path).then(
        () => [],
        (error: unknown) => {
          const { details, message } = asStrataError(error);
          return [{ kind: "layer-unreadable", subject: path, detail: String(details.reason ?? message) }];
        },
      ),
    ),
  );
  return found.flat();
}

/** Files that a snapshot or the domain needs and that are not there. */
async function findMissing(
  graph: LayerGraph,
  snapshots: readonly SnapshotPlace[],
  head: string,
): Promise<Note[]> {
  const needed = new Map<string, string>();
  for (const [path, { backing, through }] of graph.headers) {
    if (backing !== null) needed.set(backing, `${path} stands on it`);
    if (through !== null && through !== backing) needed.set(through, `${path} reads through it`);
  }
  for (const { name, frozen } of snapshots)
    if (frozen !== null) needed.set(frozen, `snapshot "${name}" is in it`);
  needed.set(head, "the instance writes it");
  const found = await Promise.all(
    [...needed].map(async ([path, why]) => {
      if (graph.headers.has(path) || graph.standIns.has(path)) return [];
      const there = await readHeader(path).then(
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

async function findMark(
  managed: Managed,
  snapshots: readonly SnapshotPlace[],
  head: string,
): Promise<Note[]> {
  const [mark, stands] = await Promise.all([currentName(managed.domain), standsOn(managed, snapshots, head)]);
  if (mark === stands || stands === null) return [];
  return [
    {
      kind: "mark-misplaced",
      subject: stands,
      detail: `the instance stands on "${stands}", and libvirt marks ${mark === null ? "none" : `"${mark}"`}`,
      repair: `have libvirt mark "${stands}"`,
    },
  ];
}

/** Files that nothing refers to, and layers that are there to be merged only. */
async function findLeft(
  managed: Managed,
  graph: LayerGraph,
  files: readonly string[],
  snapshots: readonly SnapshotPlace[],
  head: string,
): Promise<Note[]> {
  const { folder } = graph;
  const frozen = new Set(snapshots.map((snapshot) => snapshot.frozen));
  const settled = await isSettled(managed);
  const found: Note[] = [];
  for (const path of graph.headers.keys()) {
    if (frozen.has(path) || path === head || dirname(path) !== folder) continue;
    const dependants = graph.dependants(path);
    if (dependants.length === 0) {
      // Taken away before long without anybody's doing.
      if (managed.metadata.discarded?.includes(path)) continue;
      // What a guest runs on may be another file than its definition says.
      if (settled) found.push(await unreferenced(folder, path));
    } else if (dependants.length === 1 && settled && isLayerPath(folder, path))
      found.push({
        kind: "layer-unmerged",
        subject: path,
        detail: `${path} belongs to no snapshot any more, and one layer stands on it`,
        repair: "merge the two",
      });
  }
  for (const file of files) {
    const path = join(folder, file);
    if (isPartialPath(folder, path))
      found.push({
        kind: "build-left",
        subject: path,
        detail: `${path} was being built when its process died`,
        repair: "remove it",
      });
  }
  const used = new Set([...graph.headers.values()].map(({ through }) => through));
  for (const { backing } of graph.standIns.values()) used.add(backing);
  for (const path of graph.standIns.keys())
    if (!used.has(path) && !graph.headers.has(layerOf(folder, path)))
      found.push({
        kind: "stand-in-left",
        subject: path,
        detail: `${path} stands in for a layer that is gone, and nothing reads through it`,
        repair: "remove it",
      });
  return found;
}

/** Nobody may need it, and what it holds may be all there is of somebody's work: only an empty one goes. */
async function unreferenced(folder: string, path: string): Promise<Note> {
  const who = isImagePath(folder, path) ? "neither a snapshot nor the instance" : "nothing that strata knows";
  const detail = `${who} refers to ${path}`;
  if (await holdsData(path, {}, true))
    return { kind: "layer-unreferenced", subject: path, detail: `${detail}; it holds data` };
  return { kind: "layer-unreferenced", subject: path, detail: `${detail}; it is empty`, repair: "remove it" };
}

async function findOpen(folder: string, files: readonly string[]): Promise<Note[]> {
  const found = await Promise.all(
    files.map(async (file) => {
      const path = join(folder, file);
      if (!isImagePath(folder, path)) return [];
      const mode = await stat(path).then(
        (found) => found.mode,
        (error: unknown) => {
          if (isAbsent(error)) return 0;
          throw fileError(error, path);
        },
      );
      if ((mode & 0o077) === 0) return [];
      const rights = (mode & 0o777).toString(8);
      return [
        {
          kind: "file-open",
          subject: path,
          detail: `others than its owner may use ${path}: its mode is ${rights}`,
          repair: "take it away from them",
        },
      ];
    }),
  );
  return found.flat();
}
