import type { Context } from "../../../lib/engine/contract.ts";
import { type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { finishReplacement } from "../layers/child-replacement.ts";
import { collectIfPossible } from "../layers/collect.ts";
import { findInUse, readGraph } from "../layers/graph.ts";
import type { LayerGraph } from "../layers/layer-graph.ts";
import { addPendingRemoval, cancelRemoval, isUnchanged, keepPending } from "../layers/pending-removals.ts";
import { pointTo } from "../qcow2/qemu-img.ts";
import { readFileUsers } from "../storage/file-users.ts";
import { fileVersion } from "../storage/file-version.ts";
import type { OperationOf } from "./entry.ts";
import { clearJournal } from "./journal.ts";

/**
 * Undoes an interrupted merge, which may have changed the child's backing file before all data was copied.
 * Until then, headers cannot be trusted, so this comes before anything else reads them. Whether the merge can
 * be done again is decided as for any other, since another tool may need the layer now. False if a guest must
 * stop first.
 */
export async function finishMerge(
  engine: LibvirtEngine,
  managed: Managed,
  merge: OperationOf<"merge">,
  context?: Pick<Context, "signal">,
): Promise<boolean> {
  if (!(await undoMerge(engine, managed, merge))) {
    return false;
  }
  await clearJournal(managed.metadata.folder);
  await collectIfPossible(engine, managed, context);
  return true;
}

/**
 * Points the child back to the layer, where it reads correctly at every step of a merge. False if that must
 * wait.
 */
export async function undoMerge(
  engine: LibvirtEngine,
  managed: Managed,
  merge: OperationOf<"merge">,
): Promise<boolean> {
  const { layer, child } = merge;
  const { folder } = managed.metadata;
  if (!(await finishReplacement(merge))) {
    return false;
  }
  const graph = await readGraph(managed);
  const unreadable = graph.unreadable.get(layer) ?? graph.unreadable.get(child);
  if (unreadable !== undefined && unreadable.code !== "LAYER_MISSING") {
    throw unreadable;
  }
  if (!graph.headers.has(layer)) {
    // A child that still names the missing layer lacks data that someone removed. Any other child has all it
    // needs.
    if (graph.headers.get(child)?.backing === layer) {
      await cancelRemoval(folder, [layer]);
    } else {
      await recordMerged(folder, graph, merge);
    }
    return true;
  }
  if (!graph.headers.has(child)) {
    return true;
  }
  if ((await findInUse(managed, graph)).has(child) || (await (await readFileUsers()).has(child))) {
    return false;
  }
  await pointTo(child, layer, runOptions(engine, managed.domain.uuid));
  // Copying the child's contents into the layer has changed its stamp. The entry itself proves that strata
  // may remove it.
  if (graph.pendingRemovals.has(layer)) {
    await keepPending(layer);
  } else {
    await addPendingRemoval(layer);
  }
  return true;
}

/**
 * The layer is gone: it has taken the child's name, unless the child's file stayed or someone has put another
 * file there since. Only a file that is proven to be the layer may be scheduled for removal.
 */
async function recordMerged(
  folder: string,
  { pendingRemovals }: Pick<LayerGraph, "pendingRemovals">,
  { layer, child, layerStamp }: OperationOf<"merge">,
): Promise<void> {
  const [own, known] = [pendingRemovals.get(layer), pendingRemovals.get(child)];
  const proven = fileVersion(child) === layerStamp || (own !== undefined && isUnchanged(child, own));
  if (known !== undefined && proven) {
    await addPendingRemoval(child, known.above);
  }
  await cancelRemoval(folder, [layer]);
}
