import { dirname } from "node:path";
import type { Context } from "../../../lib/engine/contract.ts";
import { getLocked, type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { libvirtError } from "../errors.ts";
import type { OperationOf } from "../journal/entry.ts";
import { clearJournal, isHalfMerged, writeJournal } from "../journal/journal.ts";
import { hasLost } from "../qcow2/damage.ts";
import { reconcile } from "../snapshots/reconcile.ts";
import { readDisk } from "../xml/disks.ts";
import { isReplacementOpen } from "./child-replacement.ts";
import { isCached, keepShort, removeUnusedFlattened } from "./flattened/flattened.ts";
import { readGraph } from "./graph.ts";
import { type LayerGraph, removeLayer } from "./layers.ts";
import { mergeLayer } from "./merge.ts";
import { addPendingRemoval, cancelRemoval, isUnchanged } from "./pending-removals.ts";
import { findFree, findUnknown, type Needs, removePending } from "./removable.ts";

/** `collectLayers` after an act that is done whatever comes of it: what cannot be collected now stays until later. */
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
    engine.log.warn(`layers of "${name}" are left to be brought together: ${libvirtError(error).message}`);
  }
}

/**
 * Takes away the layers that strata has let go: one without dependants is removed; one with a single dependant is
 * merged into it; one with several stays, hidden, and costs nothing. A layer that a guest reads through, that
 * somebody has locked or that holds internal snapshots stays until a later call. The caller holds the instance.
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
    // What its child reads cannot be believed, and so nothing that stands on or below it.
    engine.log.info(
      `the layers of "${managed.name}" stay as they are: a merge could be neither finished nor undone`,
    );
    return;
  }
  if ((await managed.domain.listCheckpoints()).length > 0) {
    // A checkpoint is a bitmap in a layer, and worth nothing once that is merged.
    engine.log.info(`the layers of "${managed.name}" stay as they are while it has checkpoints`);
    return;
  }
  let graph: LayerGraph;
  let needs: Needs;
  for (;;) {
    ({ graph, needs } = await removePending(managed, copies));
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
    await clearJournal(folder);
  }
  if (needs.guest.size > 0) {
    return;
  }
  // Without the layers that are gone, keyframes may be too far apart, or not needed any more.
  const options = runOptions(engine, id, context);
  const activeLayer = readDisk(managed.document);
  const short = await keepShort(
    engine,
    { name: managed.name, activeLayer },
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
    engine.log.warn(`layers of "${managed.name}" stay until all can be read: ${unknown}`);
    return undefined;
  }
  const { users } = needs;
  for (const layer of await findFree(managed, graph, needs)) {
    const known = graph.pendingRemovals.get(layer);
    if (known === undefined || !isUnchanged(layer, known)) {
      // It is nobody's then, and a matter for `strata doctor`.
      await cancelRemoval(graph.folder, [layer]);
      continue;
    }
    const [child, ...others] = graph.dependants(layer);
    if (child === undefined || others.length > 0) {
      continue;
    }
    // What is inside an image reads through what it stands on, and QEMU's tools look at the image alone.
    if ((graph.headers.get(child)?.inside ?? 0) > 0 || (await users.has(child))) {
      continue;
    }
    // QEMU writes into what was cut off without a word, over clusters that something else refers to.
    if ((await hasLost(layer)) || (await hasLost(child))) {
      engine.log.warn(`${layer} and ${child} stay: one of them is damaged, as \`strata doctor\` says`);
      continue;
    }
    return { kind: "merge", layer, child, target: graph.headers.get(layer)?.through ?? "" };
  }
  return undefined;
}

/** What is left to do once the contents of the two are together. */
export async function endMerge(
  { metadata: { folder } }: Managed,
  graph: Pick<LayerGraph, "pendingRemovals">,
  { layer, child }: OperationOf<"merge">,
): Promise<void> {
  // The child's file is another one than it was when it was let go itself. Once the layer is gone, nothing would say so.
  const known = graph.pendingRemovals.get(child);
  if (known !== undefined && dirname(child) === folder) {
    await addPendingRemoval(child, known.above);
  }
  await removeLayer(folder, layer);
  await cancelRemoval(folder, [layer]);
}
