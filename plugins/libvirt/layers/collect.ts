import { dirname } from "node:path";
import type { Context } from "../../../lib/engine/contract.ts";
import { getLocked, type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { libvirtError } from "../errors.ts";
import type { OperationOf } from "../journal/entry.ts";
import { clearJournal, isHalfMerged, writeJournal } from "../journal/journal.ts";
import { hasLost } from "../qcow2/damage.ts";
import { reconcile } from "../snapshots/reconcile.ts";
import { activeLayers } from "../xml/disks.ts";
import { isReplacementOpen } from "./child-replacement.ts";
import { isCached, keepShort, removeFlattenedOfGone, removeUnusedFlattened } from "./flattened/flattened.ts";
import { readGraph } from "./graph.ts";
import type { LayerGraph } from "./layer-graph.ts";
import { removeLayer } from "./layers.ts";
import { mergeLayer } from "./merge.ts";
import { addPendingRemoval, cancelRemoval, isUnchanged } from "./pending-removals.ts";
import { findFree, findUnknown, type Needs, removePending } from "./removable.ts";

/**
 * Runs `collectLayers` after an operation that has already succeeded: what cannot be collected now waits for
 * a later command.
 */
export async function collectIfPossible(
  engine: LibvirtEngine,
  { name, domain }: Pick<Managed, "name" | "domain">,
  context?: Pick<Context, "signal"> & Partial<Context>,
): Promise<void> {
  try {
    await collectLayers(engine, domain.uuid, context);
  } catch (error) {
    if (context?.signal.aborted) {
      throw error;
    }
    engine.log.warn(
      `could not merge or remove layers of "${name}", which a later command tries again: ${libvirtError(error).message}`,
    );
  }
}

/**
 * Removes or merges the layers with a pending removal: one without dependants is removed; one with a single
 * dependant is merged into it; one with several stays, hidden, at no cost. A layer stays until a later
 * command if a guest reads through it, a process has locked it, or it contains QEMU's own snapshots. The
 * caller has locked the instance.
 */
export async function collectLayers(
  engine: LibvirtEngine,
  id: string,
  context?: Pick<Context, "signal"> & Partial<Context>,
): Promise<void> {
  const managed = await getLocked(engine, id);
  const { folder } = managed.metadata;
  const copies = await reconcile(managed);
  if (await isHalfMerged(folder)) {
    // The headers of its layers cannot be trusted, nor of anything that stands on them or below.
    engine.log.info(
      `no layers of "${managed.name}" are merged or removed, because a merge could be neither finished nor undone`,
    );
    return;
  }
  if ((await managed.domain.listCheckpoints()).length > 0) {
    // A checkpoint is a bitmap in a layer, and is useless once the layer is merged.
    engine.log.info(`no layers of "${managed.name}" are merged or removed while it has checkpoints`);
    return;
  }
  let graph: LayerGraph;
  let needs: Needs;
  for (;;) {
    ({ graph, needs } = await removePending(managed, copies, false));
    const next = await findMerge(engine, managed, graph, needs);
    if (next === undefined) {
      break;
    }
    context?.progress?.({ phase: "Merging layers" });
    await writeJournal(folder, next);
    if (!(await mergeLayer(engine, managed, graph, next, context))) {
      if (isReplacementOpen(next)) {
        return;
      }
      graph = await readGraph(managed, copies);
      break;
    }
    await endMerge(managed, graph, next);
    if (needs.guest.size === 0) {
      await removeFlattenedOfGone(graph);
    }
    await clearJournal(folder);
  }
  if (needs.guest.size > 0) {
    return;
  }
  // Now that layers are gone, keyframes may be too far apart, or not needed any more.
  const options = runOptions(engine, id, context);
  const short = await keepShort(
    engine,
    { name: managed.name, active: activeLayers(managed.document) },
    graph,
    graph.headers.keys(),
    options,
  );
  if (short.flattened.size > 0) {
    await removeUnusedFlattened(short, isCached(short));
  }
}

async function findMerge(
  engine: LibvirtEngine,
  managed: Managed,
  graph: LayerGraph,
  needs: Needs,
): Promise<OperationOf<"merge"> | undefined> {
  if (graph.pendingRemovals.size === 0) {
    return undefined;
  }
  const [unknown] = findUnknown(graph, needs.copies).values();
  if (unknown !== undefined) {
    engine.log.warn(`no layers of "${managed.name}" are merged until all of them can be read: ${unknown}`);
    return undefined;
  }
  for (const layer of await findFree(managed, graph, needs)) {
    const known = graph.pendingRemovals.get(layer);
    if (known === undefined || !isUnchanged(layer, known)) {
      // It was written since. `strata doctor` shows it as orphaned.
      await cancelRemoval(graph.folder, [layer]);
      continue;
    }
    const child = mergeableChild(graph, layer);
    if (child === undefined || (await needs.users.has(child))) {
      continue;
    }
    // QEMU writes into a truncated file without an error, over clusters that something else refers to.
    if ((await hasLost(layer)) || (await hasLost(child))) {
      engine.log.warn(
        `${layer} and ${child} are not merged, because one of them is damaged; see \`strata doctor\``,
      );
      continue;
    }
    return { kind: "merge", layer, child, target: graph.headers.get(layer)?.through ?? "" };
  }
  return undefined;
}

/** The only file that stands on a layer, if its header allows merging the two. */
export function mergeableChild(graph: LayerGraph, layer: string): string | undefined {
  const [child, ...others] = graph.dependants(layer);
  if (child === undefined || others.length > 0) {
    return undefined;
  }
  // QEMU's own snapshots in an image read through its backing file, and QEMU's tools look only at the image.
  return (graph.headers.get(child)?.inside ?? 0) > 0 ? undefined : child;
}

/** The steps of a merge that remain once the contents are in one file. */
export async function endMerge(
  { metadata: { folder } }: Managed,
  graph: Pick<LayerGraph, "pendingRemovals">,
  { layer, child }: OperationOf<"merge">,
): Promise<void> {
  // The child's file is not the one that was scheduled for removal any more. Without the layer, nothing would
  // prove that it may go.
  const known = graph.pendingRemovals.get(child);
  if (known !== undefined && dirname(child) === folder) {
    await addPendingRemoval(child, known.above);
  }
  await removeLayer(folder, layer);
  await cancelRemoval(folder, [layer]);
}
