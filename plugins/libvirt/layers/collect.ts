import { dirname } from "node:path";
import type { Context } from "../../../lib/backend/contract.ts";
import { isSettled } from "../domain/view.ts";
import { type Engine, getHeld, type Managed, runOptions } from "../engine.ts";
import type { OperationOf } from "../journal/entry.ts";
import { clearJournal, writeJournal } from "../journal/journal.ts";
import { hasLost } from "../qcow2/damage.ts";
import { listCopies, type RecordCopy } from "../snapshots/record-copies.ts";
import { readFileUsers } from "../storage/file-users.ts";
import { readDisk } from "../xml/domain.ts";
import { isCached, keepShort, removeUnusedStandIns } from "./flattened/flattened.ts";
import { readGraph } from "./graph.ts";
import { type LayerGraph, removeLayer } from "./layers.ts";
import { mergeLayer } from "./merge.ts";
import { findFree, findUnknown, removeBare } from "./pending-removal.ts";
import { forget, release } from "./released.ts";

/**
 * Takes away the layers that strata has let go: one without dependants is removed; one with a single dependant is
 * merged into it; one with several stays, hidden, and costs nothing. A layer that a guest reads through, that
 * somebody has locked or that holds internal snapshots stays until a later call. The caller holds the instance.
 */
export async function collectLayers(
  engine: Engine,
  id: string,
  context?: Pick<Context, "signal"> & Partial<Context>,
): Promise<void> {
  const managed = await getHeld(engine, id);
  const { folder } = managed.metadata;
  const copies = await listCopies(folder);
  if ((await managed.domain.listCheckpoints()).length > 0) {
    // A checkpoint is a bitmap in a layer, and worth nothing once that is merged.
    engine.log.info(`the layers of "${managed.name}" stay as they are while it has checkpoints`);
    return;
  }
  let graph: LayerGraph;
  for (;;) {
    graph = await removeBare(managed, copies);
    const next = await findMerge(engine, managed, graph, copies);
    if (next === undefined) break;
    context?.progress?.({ phase: "Merging layers" });
    await writeJournal(folder, next);
    const merged = await mergeLayer(engine, managed, graph, next, context);
    if (merged) await endMerge(managed, graph, next);
    await clearJournal(folder);
    if (!merged) {
      graph = await readGraph(managed, copies);
      break;
    }
  }
  if (!(await isSettled(managed))) return;
  // Without the layers that are gone, keyframes may be too far apart, or not needed any more.
  const options = runOptions(engine, id, context);
  const head = readDisk(managed.document);
  const short = await keepShort(engine, { name: managed.name, head }, graph, graph.headers.keys(), options);
  if (short.standIns.size > 0) await removeUnusedStandIns(short, isCached(short));
}

async function findMerge(
  engine: Engine,
  managed: Managed,
  graph: LayerGraph,
  copies: readonly RecordCopy[],
): Promise<OperationOf<"merge"> | undefined> {
  if (graph.releases.size === 0) return undefined;
  const unknown = findUnknown(graph, copies);
  if (unknown !== undefined) {
    engine.log.warn(`layers of "${managed.name}" stay until all can be read: ${unknown}`);
    return undefined;
  }
  const users = await readFileUsers();
  for (const layer of await findFree(managed, graph, copies, users)) {
    const [child, ...others] = graph.dependants(layer);
    if (child === undefined || others.length > 0) continue;
    // What is inside an image reads through what it stands on, and QEMU's tools look at the image alone.
    if ((graph.headers.get(child)?.inside ?? 0) > 0 || (await users.has(child))) continue;
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
  graph: Pick<LayerGraph, "releases">,
  { layer, child }: OperationOf<"merge">,
): Promise<void> {
  await removeLayer(folder, layer);
  await forget(folder, [layer]);
  // The child's file is another one than it was when it was let go itself.
  const known = graph.releases.get(child);
  if (known !== undefined && dirname(child) === folder) await release(child, known.above);
}
