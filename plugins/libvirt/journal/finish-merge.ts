import type { Context } from "../../../lib/engine/contract.ts";
import { type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { finishReplacement } from "../layers/child-replacement.ts";
import { collectIfPossible } from "../layers/collect.ts";
import { findInUse, readGraph } from "../layers/graph.ts";
import type { LayerGraph } from "../layers/layers.ts";
import { addPendingRemoval, cancelRemoval, isUnchanged, keepPending } from "../layers/pending-removals.ts";
import { pointTo } from "../qcow2/qemu-img.ts";
import { readFileUsers } from "../storage/file-users.ts";
import { fileVersion } from "../storage/file-version.ts";
import type { OperationOf } from "./entry.ts";
import { clearJournal } from "./journal.ts";

/**
 * Ends a merge that was killed, which may have switched the child's backing file before all was copied. The headers
 * cannot be believed until then, so this comes before any other look. The merge is undone; whether it may be done
 * again is asked as of any other, since other hands may need the layer by now. False where a guest must stop first.
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

/** Has the child stand on the layer, where it reads right however far the merge came. False where that must wait. */
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
    // A child that still names the layer lacks what others took away; all that it needs is in any other.
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
  // Moving the child's contents into it has written the layer. That strata let it go, the entry itself says.
  if (graph.pendingRemovals.has(layer)) {
    await keepPending(layer);
  } else {
    await addPendingRemoval(layer);
  }
  return true;
}

/**
 * The layer is gone: it has the child's name by now, unless the child's file stayed or another hand has put one
 * there since. Only what is proven to be the layer may go in its turn.
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
