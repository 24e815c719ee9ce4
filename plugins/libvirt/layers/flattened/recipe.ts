import type { Format } from "../../qcow2/header.ts";
import { createOverlay } from "../../qcow2/overlay.ts";
import { copyInto, flush, type RunOptions, rebase, repoint } from "../../qcow2/qemu-img.ts";
import { canClone, cloneFile } from "../../qcow2/reflink.ts";
import type { LayerGraph } from "../layer-graph.ts";
import { readLayer, sizeOf } from "../layers.ts";
import { isImagePath, layerOf } from "../names.ts";

/** What starting qemu-img costs, as bytes that copy in the same time: some 20 ms. */
const RUN_COST = 4n * 1024n ** 2n;
/** How many runs of qemu-img it takes to build a flattened copy from nothing. */
const RUNS_OF_BUILD = 3;

/** How to build the flattened copy of a layer. */
export interface Recipe {
  /** The file that it stands on. */
  readonly on: string;
  /** The format of that file. */
  readonly onFormat: Format;
  /** The file that it is made a reflink of; null if it starts empty. */
  readonly clone: string | null;
  /** The files whose data is copied, lowest first. */
  readonly copied: readonly string[];
  /** The most that this writes, bytes. */
  readonly bytes: bigint;
  /** How long it takes; see `costOf`. */
  readonly cost: bigint;
}

/**
 * The cheapest way to build a flattened copy of `layer` on `on`, a file further down. The lowest file above
 * `on` has the contents of its own flattened copy there, so if the file system shares blocks, nothing of it
 * must be copied; but each file above it takes a run of qemu-img.
 */
export async function recipeOf(graph: LayerGraph, layer: string, on: string): Promise<Recipe> {
  const files = filesAbove(graph, layer, on);
  const [lowest, ...others] = files;
  const [all, rest] = await Promise.all([sizeOf(files), sizeOf(others)]);
  const onFormat = graph.formatOf(on);
  const anew = { on, onFormat, clone: null, copied: files, bytes: all, cost: costOf(all, RUNS_OF_BUILD) };
  const cost = costOf(rest, others.length);
  if (lowest === undefined || cost >= anew.cost) {
    return anew;
  }
  // An image that strata did not create may keep its data in another file, which a reflink would write to.
  if (!isImagePath(graph.folder, lowest) || !(await canClone(lowest, graph.folder))) {
    return anew;
  }
  return { on, onFormat, clone: lowest, copied: others, bytes: rest, cost };
}

/** Creates a file with the contents of `layer` by a recipe, durably. Only copying reports progress. */
export async function makeBy(
  recipe: Pick<Recipe, "clone" | "copied"> & {
    readonly on: string | null;
    readonly onFormat?: Format;
    /** The format of `layer`. */
    readonly layerFormat?: Format;
  },
  { name, path, layer }: { readonly name: string; readonly path: string; readonly layer: string },
  options: RunOptions,
): Promise<void> {
  const { on, clone, copied, onFormat = "qcow2", layerFormat = "qcow2" } = recipe;
  const below = on === null ? null : { path: on, format: onFormat };
  if (clone === null) {
    await createOverlay(path, layer, { format: layerFormat });
    await rebase(path, { path: layer, format: layerFormat }, below, options);
    return;
  }
  await cloneFile(clone, path);
  if (below !== null && (await readLayer(name, path)).backing !== on) {
    await repoint(path, below, options);
  }
  for (const file of copied) {
    await copyInto(path, file, options);
  }
  await flush(path);
}

/**
 * The files that QEMU reads `layer` from, lowest first, down to `on` or the layer of which it is a flattened
 * copy.
 */
export function filesAbove(graph: LayerGraph, layer: string, on: string): string[] {
  const files = graph.opened(layer);
  const end = files.findIndex((file) => layerOf(graph.folder, file) === layerOf(graph.folder, on));
  return files.slice(0, end === -1 ? files.length : end).reverse();
}

/** The time of so many runs of qemu-img that write so many bytes, as bytes that copy in that time. */
export function costOf(bytes: bigint, runs: number): bigint {
  return bytes + RUN_COST * BigInt(runs);
}
