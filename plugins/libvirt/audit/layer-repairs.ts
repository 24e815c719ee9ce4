import { dirname } from "node:path";
import type { Context, Finding } from "../../../lib/engine/contract.ts";
import { isShutOff } from "../domain/view.ts";
import { type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { readGraph } from "../layers/graph.ts";
import type { LayerGraph } from "../layers/layer-graph.ts";
import { removeLayer } from "../layers/layers.ts";
import { keepingTimes } from "../layers/pending-removals.ts";
import { isDamaged, isWrong } from "../qcow2/damage.ts";
import { checkImage, pointTo, type RunOptions, repairLeaks } from "../qcow2/qemu-img.ts";
import { listRecords } from "../snapshots/records.ts";
import { namedFiles } from "./layer-health.ts";

/** Repairs of findings of `layer-health`. */
const REPAIRS: Readonly<Record<string, Repair>> = {
  "layer-leaks": freeLeaks,
  "flattened-copy-damaged": leaveFlattened,
};

type Repair = (managed: Managed, path: string, options: RunOptions) => Promise<boolean>;

export function isLayerRepair({ kind }: Finding): boolean {
  return Object.hasOwn(REPAIRS, kind);
}

/**
 * Repairs a finding of that kind, if it is still there and no guest uses the layers. The caller has locked
 * the instance.
 */
export async function repairLayer(
  engine: LibvirtEngine,
  managed: Managed,
  { kind, subject }: Finding,
  context: Context,
): Promise<boolean> {
  if (!(await isShutOff(managed))) {
    return false;
  }
  const options = runOptions(engine, managed.domain.uuid, context);
  return (await REPAIRS[kind]?.(managed, subject, options)) ?? false;
}

/** Frees leaked clusters of a layer that a snapshot or the definition names. */
async function freeLeaks(managed: Managed, path: string, options: RunOptions): Promise<boolean> {
  const named = namedFiles(managed, await listRecords(managed.domain));
  if (!named.includes(path) || dirname(path) !== managed.metadata.folder) {
    return false;
  }
  const checked = await checkImage(path, options);
  if (isWrong(checked) || checked.leaks === 0) {
    return false;
  }
  const { leaks, failed } = await repairLeaks(path, options);
  return failed === null && leaks === 0;
}

/** Points every layer that reads through a flattened copy to the layer itself, and removes the copy. */
async function leaveFlattened(managed: Managed, path: string, options: RunOptions): Promise<boolean> {
  const graph = await readGraph(managed);
  if (!graph.flattened.has(path) || !(await isDamaged(path, options))) {
    return false;
  }
  const gone = flattenedAbove(graph, path);
  for (const [child, { backing, through }] of graph.headers) {
    if (backing !== null && through !== null && gone.has(through)) {
      await keepingTimes(child, () => pointTo(child, backing, options));
    }
  }
  for (const each of gone) {
    await removeLayer(graph.folder, each);
  }
  return true;
}

/** A flattened copy and all that read through it, in an order in which they can be removed. */
function flattenedAbove({ flattened }: LayerGraph, path: string): ReadonlySet<string> {
  const found = new Set([path]);
  for (const each of found) {
    for (const [above, { backing }] of flattened) {
      if (backing === each) {
        found.add(above);
      }
    }
  }
  return new Set([...found].reverse());
}
