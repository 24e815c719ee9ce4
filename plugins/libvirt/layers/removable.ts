import { isShutOff } from "../domain/view.ts";
import type { Managed } from "../engine.ts";
import { isHalfMerged } from "../journal/journal.ts";
import type { RecordCopy } from "../snapshots/record-copies.ts";
import { type FileUsers, readFileUsers } from "../storage/file-users.ts";
import { hasSpace } from "../storage/pool.ts";
import { activeLayers } from "../xml/disks.ts";
import { removeFlattenedOfGone } from "./flattened/flattened.ts";
import { findInUse, readByOthers, readGraph } from "./graph.ts";
import type { LayerGraph } from "./layer-graph.ts";
import { removeLayer, sizeOf } from "./layers.ts";
import { cancelRemoval, isUnchanged, readPendingRemovals } from "./pending-removals.ts";

/** How much space layers with a pending removal may use, bytes. */
const MAX_PENDING_BYTES = 256n * 1024n ** 2n;
/** How much space must be free beside them, bytes. */
const MIN_FREE_BYTES = 1024n ** 3n;
/** How many of them there may be. */
const MAX_PENDING = 16;

/**
 * Removes the disks that restores have left if there are many or large ones. Small ones wait for the next
 * start, stop or deletion, because removing a file may take longer than the rest of a restore.
 */
export async function removePendingIfLarge(managed: Managed, copies: readonly RecordCopy[]): Promise<void> {
  const { folder } = managed.metadata;
  const waiting = [...readPendingRemovals(folder).keys()];
  const waits =
    waiting.length <= MAX_PENDING &&
    (await sizeOf(waiting)) <= MAX_PENDING_BYTES &&
    (await hasSpace(folder, MIN_FREE_BYTES));
  // A guest that was started meanwhile may use one. They are collected once it has stopped.
  if (!waits && (await isShutOff(managed))) {
    await removePending(managed, copies);
  }
}

/** What keeps layers from being merged or removed, in addition to the graph. */
export interface Needs {
  readonly copies: readonly Pick<RecordCopy, "name" | "frozen">[];
  /** Layers that a guest reads. */
  readonly guest: ReadonlySet<string>;
  readonly users: FileUsers;
}

/** Layers with a pending removal that can be merged or removed now. */
export async function findFree(
  managed: Managed,
  graph: LayerGraph,
  { copies, guest, users }: Needs,
): Promise<string[]> {
  const active = activeLayers(managed.document);
  const frozen = new Set(copies.flatMap((copy) => copy.frozen));
  const others = readByOthers(managed, graph);
  const inUse = new Set(guest);
  // Without a base image, flattened copies stand on the lowest layer.
  for (const { backing } of graph.flattened.values()) {
    if (backing !== null) {
      inUse.add(backing);
    }
  }
  const free: string[] = [];
  for (const path of graph.pendingRemovals.keys()) {
    const header = graph.headers.get(path);
    if (header === undefined || header.inside > 0) {
      continue;
    }
    if (
      active.includes(path) ||
      frozen.has(path) ||
      others.has(path) ||
      inUse.has(path) ||
      (await users.has(path))
    ) {
      continue;
    }
    free.push(path);
  }
  return free;
}

/**
 * Layers that are missing or cannot be read, each with a message. Such a layer may stand on any other that is
 * not above it, and may be restored from a backup.
 */
export function findUnknown(
  graph: LayerGraph,
  copies: readonly Pick<RecordCopy, "name" | "frozen">[],
): ReadonlyMap<string, string> {
  const unknown = new Map([...graph.unreadable].map(([path, { message }]) => [path, message]));
  const isMissing = (path: string | null): path is string =>
    path?.startsWith(`${graph.folder}/`) === true && !graph.headers.has(path) && !unknown.has(path);
  for (const { name, frozen } of copies) {
    for (const file of frozen.filter(isMissing)) {
      unknown.set(file, `the layer ${file} of snapshot "${name}" is missing`);
    }
  }
  for (const { backing } of graph.headers.values()) {
    if (isMissing(backing)) {
      unknown.set(backing, `the layer ${backing} is missing`);
    }
  }
  return unknown;
}

/**
 * Removes the layers with a pending removal that nothing stands on, then those below them that nothing stands
 * on any more. A layer that was written since it was scheduled is kept, as an orphaned one. Nothing is removed
 * while headers cannot be trusted; a caller that has asked `isHalfMerged` passes what it said. Resolves to the
 * graph after that, and to what keeps the other layers.
 */
export async function removePending(
  managed: Managed,
  copies: readonly RecordCopy[],
  halfMerged?: boolean,
): Promise<{ readonly graph: LayerGraph; readonly needs: Needs }> {
  const { folder } = managed.metadata;
  let graph = await readGraph(managed, copies);
  const needs = { copies, guest: await findInUse(managed, graph), users: await readFileUsers() };
  if (graph.pendingRemovals.size === 0 || (halfMerged ?? (await isHalfMerged(folder)))) {
    return { graph, needs };
  }
  while (graph.pendingRemovals.size > 0) {
    const unknown = [...findUnknown(graph, copies).keys()];
    const free = await findFree(managed, graph, needs);
    const bare = free.filter((path) => {
      const chain = graph.chain(path);
      return graph.dependants(path).length === 0 && unknown.every((each) => chain.includes(each));
    });
    const gone = [...graph.pendingRemovals.keys()].filter(
      (path) => !graph.headers.has(path) && !graph.unreadable.has(path),
    );
    if (bare.length + gone.length === 0) {
      break;
    }
    for (const path of bare) {
      const known = graph.pendingRemovals.get(path);
      if (known !== undefined && isUnchanged(path, known)) {
        await removeLayer(folder, path);
      }
    }
    if (needs.guest.size === 0) {
      await removeFlattenedOfGone(graph);
    }
    await cancelRemoval(folder, [...bare, ...gone]);
    graph = await readGraph(managed, copies);
  }
  return { graph, needs };
}
