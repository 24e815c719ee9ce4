import { dirname } from "node:path";
import type { Context } from "../../../lib/engine/contract.ts";
import { isShutOff } from "../domain/view.ts";
import { type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { libvirtError } from "../errors.ts";
import type { OperationOf } from "../journal/entry.ts";
import { clearJournal } from "../journal/journal.ts";
import { type Format, isEmptyImage, readHeader } from "../qcow2/header.ts";
import { readImage } from "../qcow2/image.ts";
import { copyInto, flush, pointTo, type RunOptions, rebase, repoint } from "../qcow2/qemu-img.ts";
import { checkSpace } from "../storage/pool.ts";
import { isReplacementOpen, replaceChild } from "./child-replacement.ts";
import { removeUnusedFlattened } from "./flattened/flattened.ts";
import type { LayerGraph } from "./layer-graph.ts";
import { layerSize } from "./layers.ts";
import { flattenedPath } from "./names.ts";
import { isUnchanged, keepPending } from "./pending-removals.ts";

type Merge = OperationOf<"merge">;

/**
 * Merges the layer and its only child by copying whichever has less data. If that fails, usually for lack of
 * space, the child is pointed back to the layer, which stays, hidden: nothing is lost, and a later command
 * tries again. False then. The entry of a merge that has ended either way is removed.
 */
export async function mergeLayer(
  engine: LibvirtEngine,
  managed: Managed,
  graph: LayerGraph,
  merge: Merge,
  context?: Pick<Context, "signal">,
): Promise<boolean> {
  const { layer, child } = merge;
  const { folder } = managed.metadata;
  const known = graph.pendingRemovals.get(child);
  const pending = known !== undefined && isUnchanged(child, known) ? [layer, child] : [layer];
  try {
    await mergeContents(managed, graph, merge, runOptions(engine, managed.domain.uuid, context));
    return true;
  } catch (error) {
    if (!isReplacementOpen(merge)) {
      await pointBack(merge, pending, runOptions(engine, managed.domain.uuid));
      await clearJournal(folder);
    }
    if (context?.signal.aborted) {
      throw error;
    }
    const { message: reason } = await explained(managed, [layer, child], error);
    engine.log.warn(
      `a layer of "${managed.name}" could not be merged; a later command tries again: ${reason}`,
    );
    return false;
  }
}

/** Merges the contents in the cheapest way that keeps the child readable at every step. */
async function mergeContents(
  managed: Managed,
  graph: LayerGraph,
  merge: Merge,
  options: RunOptions,
): Promise<void> {
  const { layer, child, target } = merge;
  const { signal: _signal, ...uncancelled } = options;
  const below = target === "" ? null : { path: target, format: graph.formatOf(target) };
  if (await isBlank(managed, child, layer)) {
    await replaceChild(graph.folder, merge);
  } else if (below !== null && (await addsNothing(layer, below))) {
    await pointTo(child, below, uncancelled);
  } else if (await isSmaller(managed, child, layer)) {
    await sinkInto(graph, merge, options);
  } else {
    await rebase(child, layer, below, options);
  }
}

/** Makes the child read the layer again, and keeps the given layers removable, after a merge that failed. */
async function pointBack(
  { layer, child }: Merge,
  pending: readonly string[],
  options: RunOptions,
): Promise<void> {
  if ((await layerSize(layer)) !== null) {
    await repoint(child, layer, options);
  }
  for (const path of pending) {
    await keepPending(path);
  }
}

/**
 * Why layers could not be merged; for lack of space, with the most that is missing. Space is not checked
 * before, because less may be enough, and a deletion on a full disk needs the space that the merge frees.
 */
async function explained(
  { metadata }: Managed,
  layers: readonly string[],
  error: unknown,
): Promise<{ readonly message: string }> {
  const mapped = libvirtError(error);
  if (mapped.code !== "NO_SPACE") {
    return mapped;
  }
  const sizes = (await Promise.all(layers.map(layerSize))).flatMap((size) => size ?? []);
  const [least = 0n] = sizes.sort((a, b) => Number(a - b));
  return checkSpace(metadata.folder, least).then(() => mapped, libvirtError);
}

/**
 * True if the child contains no data and its file is strata's to replace: it reads like the layer. A guest
 * that someone else starts writes to it without the next steps noticing, so the state is checked last.
 */
async function isBlank(managed: Managed, child: string, layer: string): Promise<boolean> {
  if (dirname(child) !== managed.metadata.folder) {
    return false;
  }
  return (await addsNothing(child, { path: layer, format: "qcow2" })) && (await isShutOff(managed));
}

/** True if a file contains no data of its own and so reads like the one below it. */
async function addsNothing(
  above: string,
  below: { readonly path: string; readonly format: Format },
): Promise<boolean> {
  if (!(await isEmptyImage(above))) {
    return false;
  }
  const [upper, lower] = await Promise.all([readHeader(above), readImage(below.path, below.format)]);
  return upper.virtualSize === lower.virtualSize;
}

/** True if the child uses less space than the layer below it, and its file is strata's to replace. */
async function isSmaller({ metadata }: Managed, child: string, layer: string): Promise<boolean> {
  if (dirname(child) !== metadata.folder) {
    return false;
  }
  const [upper, lower] = await Promise.all([layerSize(child), layerSize(layer)]);
  return upper !== null && lower !== null && upper < lower;
}

/**
 * Copies the child's data into the layer, whose file then takes the child's name. The child reads correctly
 * at every step: it contains everything that the layer is overwritten with.
 */
async function sinkInto(graph: LayerGraph, merge: Merge, options: RunOptions): Promise<void> {
  const { layer, child } = merge;
  await pointTo(child, layer, options);
  // The layer is about to change, and its flattened copies are not.
  const ours = [flattenedPath("image", layer), flattenedPath("frame", layer)];
  await removeUnusedFlattened(graph, (path) => !ours.includes(path));
  await copyInto(layer, child, options);
  await flush(layer);
  await replaceChild(graph.folder, merge);
}
