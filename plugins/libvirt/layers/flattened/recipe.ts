import { createOverlay } from "../../qcow2/overlay.ts";
import { copyInto, flush, type RunOptions, rebase, repoint } from "../../qcow2/qemu-img.ts";
import { canClone, cloneFile } from "../../qcow2/reflink.ts";
import { isImagePath, type LayerGraph, layerOf, readLayer, sizeOf } from "../layers.ts";

/** What a run of qemu-img costs beside the data, as bytes that copy in the same time: some 20 ms. */
const RUN_COST = 4n * 1024n ** 2n;
/** Runs that a stand-in takes that is built from nothing. */
const RUNS_OF_BUILD = 3;

/** How the stand-in of a layer is built. */
export interface Recipe {
  /** The file that it stands on. */
  readonly on: string;
  /** The file that it is cloned from, which shares blocks with it then; null: it starts empty. */
  readonly clone: string | null;
  /** The files whose data are copied, lowest first. */
  readonly copied: readonly string[];
  /** Most bytes that this writes. */
  readonly bytes: bigint;
  /** What it costs in time; see `costOf`. */
  readonly cost: bigint;
}

/**
 * The cheapest way to build a stand-in of `layer` on `on`, a file further down. The lowest file above `on`
 * has the contents of its own stand-in there, so where the file system shares blocks nothing of it needs
 * to be copied; but each file above it takes a run of qemu-img.
 */
export async function recipeOf(graph: LayerGraph, layer: string, on: string): Promise<Recipe> {
  const files = filesAbove(graph, layer, on);
  const [lowest, ...others] = files;
  const [all, rest] = await Promise.all([sizeOf(files), sizeOf(others)]);
  const anew = { on, clone: null, copied: files, bytes: all, cost: costOf(all, RUNS_OF_BUILD) };
  const cost = costOf(rest, others.length);
  if (lowest === undefined || cost >= anew.cost) {
    return anew;
  }
  // What others have made may keep its data in yet another file, which a clone would write into.
  if (!isImagePath(graph.folder, lowest) || !(await canClone(lowest, graph.folder))) {
    return anew;
  }
  return { on, clone: lowest, copied: others, bytes: rest, cost };
}

/** Makes a file with the contents of `layer` by a recipe, durably; only copying tells how far it is. */
export async function makeBy(
  { on, clone, copied }: Pick<Recipe, "clone" | "copied"> & { readonly on: string | null },
  { name, path, layer }: { readonly name: string; readonly path: string; readonly layer: string },
  options: RunOptions,
): Promise<void> {
  if (clone === null) {
    await createOverlay(path, layer);
    await rebase(path, layer, on, options);
    return;
  }
  await cloneFile(clone, path);
  if (on !== null && (await readLayer(name, path)).backing !== on) {
    await repoint(path, on, options);
  }
  for (const file of copied) {
    await copyInto(path, file, options);
  }
  await flush(path);
}

/** The files that QEMU reads `layer` from, lowest first, down to `on` or what it stands in for. */
export function filesAbove(graph: LayerGraph, layer: string, on: string): string[] {
  const files = graph.opened(layer);
  const end = files.findIndex((file) => layerOf(graph.folder, file) === layerOf(graph.folder, on));
  return files.slice(0, end === -1 ? files.length : end).reverse();
}

/** Time of so many runs of qemu-img that write so many bytes, as bytes that copy in that time. */
export function costOf(bytes: bigint, runs: number): bigint {
  return bytes + RUN_COST * BigInt(runs);
}
