import { existsSync } from "node:fs";
import { readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { failure, reasonOf } from "../../../../lib/errors.ts";
import type { LibvirtEngine } from "../../engine.ts";
import { copyInto, flush, pointTo, type RunOptions } from "../../qcow2/qemu-img.ts";
import { removeIfThere, TEMPORARY } from "../../storage/durable-file.ts";
import { checkSpace, listIfThere } from "../../storage/pool.ts";
import type { LayerGraph } from "../layer-graph.ts";
import { readLayer, removeLayer, sizeOf } from "../layers.ts";
import {
  flattenedPath,
  isFlattenedPath,
  isLayerPath,
  isPartialPath,
  layerOf,
  newPartialPath,
} from "../names.ts";
import { keepingTimes } from "../pending-removals.ts";
import { type Keyframe, planKeyframes } from "./keyframes.ts";
import { makeBy, type Recipe, recipeOf } from "./recipe.ts";

/** How many files a chain may have before keyframes shorten it, if the setting does not say. */
const DEFAULT_CHAIN_LENGTH = 48;

/** The setting: how many files QEMU may open for a disk. */
function chainLength({ settings }: Pick<LibvirtEngine, "settings">): number {
  return Number(settings["chain-length"]) || DEFAULT_CHAIN_LENGTH;
}

/**
 * How many layers lie between two keyframes, so that with as many keyframes the chain keeps within its
 * length.
 */
function keyframeSpan(engine: Pick<LibvirtEngine, "settings">): number {
  return Math.max(1, Math.floor(chainLength(engine) / 2) - 1);
}

/**
 * Removes what interrupted builds and writes have left. The caller has locked the instance, so none is in
 * progress.
 */
export async function removePartials(folder: string): Promise<void> {
  for (const file of await readdir(folder)) {
    const path = join(folder, file);
    if (isPartialPath(folder, path)) {
      await removeLayer(folder, path);
    } else if (TEMPORARY.test(file)) {
      await removeIfThere(path);
    }
  }
}

/** Disk space that the flattened copies in the folder use, in bytes. */
export async function flattenedSize(folder: string): Promise<bigint> {
  const files = await listIfThere(folder);
  return sizeOf(files.map((file) => join(folder, file)).filter((path) => isFlattenedPath(folder, path)));
}

/**
 * Builds the flattened copy of a layer. It gets its name once it is complete and durable, so a file of that
 * name can always be trusted.
 */
export async function buildFlattened(
  name: string,
  path: string,
  recipe: Recipe,
  options: RunOptions,
): Promise<void> {
  const layer = layerOf(join(path, ".."), path);
  await make(name, path, (partial) => makeBy(recipe, { name, path: partial, layer }, options));
}

/**
 * Turns the flattened copy of a layer into that of one further up, by copying the data of the layers in
 * between, lowest first. Nothing may refer to it.
 */
export async function advanceFlattened(
  name: string,
  from: string,
  to: string,
  between: readonly string[],
  options: RunOptions,
): Promise<void> {
  await make(name, to, async (partial) => {
    await rename(from, partial);
    for (const layer of between) {
      await copyInto(partial, layer, options);
    }
  });
}

/**
 * Lets `work` create a file under a temporary name, then gives it the name of a flattened copy. Removes it if
 * that fails.
 */
async function make(name: string, path: string, work: (partial: string) => Promise<void>): Promise<void> {
  const folder = join(path, "..");
  const partial = newPartialPath(folder);
  try {
    await work(partial);
    await publish(name, partial, path);
  } catch (error) {
    await removeLayer(folder, partial);
    throw error;
  }
}

async function publish(name: string, partial: string, path: string): Promise<void> {
  const layer = layerOf(join(path, ".."), path);
  const [built, meant] = await Promise.all([readLayer(name, partial), readLayer(name, layer)]);
  if (built.virtualSize !== meant.virtualSize) {
    throw failure("INTERNAL", { reason: `${partial} was built with another size than ${layer}` });
  }
  await flush(partial);
  await rename(partial, path);
  await flush(path);
}

/**
 * Points every layer but the active ones away from read images, which may be moved on, and every layer away
 * from flattened copies that are gone: to the keyframe or else the layer itself. No process may have the
 * layers open.
 */
export async function leaveReadImages(
  graph: LayerGraph,
  active: readonly string[],
  options: RunOptions,
): Promise<LayerGraph> {
  let changed = false;
  for (const [path, { backing, through }] of graph.headers) {
    if (through === null || backing === null || through === backing) {
      continue;
    }
    if (!isLayerPath(graph.folder, path)) {
      continue;
    }
    // A layer with a pending removal is identified by its file's time.
    if (graph.pendingRemovals.has(path) && graph.dependants(path).length === 0) {
      continue;
    }
    const frame = flattenedPath("frame", backing);
    const kept = graph.flattened.has(through) && (active.includes(path) || through === frame);
    if (kept) {
      continue;
    }
    await keepingTimes(path, () => pointTo(path, graph.flattened.has(frame) ? frame : backing, options));
    changed = true;
  }
  return changed ? graph.again() : graph;
}

/** True for a read image that an active layer may read through again, or from which one can be made. */
export function isCached({ folder, headers }: Pick<LayerGraph, "folder" | "headers">) {
  return (path: string): boolean => {
    const layer = layerOf(folder, path);
    return path === flattenedPath("image", layer) && headers.has(layer);
  };
}

/**
 * Reads the graph again and removes the flattened copies that nothing reads through, except those to keep.
 */
export async function removeUnusedFlattened(
  graph: LayerGraph,
  keep: (path: string) => boolean = () => false,
): Promise<void> {
  const { folder, headers, flattened } = await graph.again();
  const left = new Map(flattened);
  for (let changed = true; changed; ) {
    changed = false;
    const used = new Set([...headers.values()].map(({ through }) => through));
    for (const { backing } of left.values()) {
      used.add(backing);
    }
    for (const path of left.keys()) {
      if (used.has(path) || keep(path)) {
        continue;
      }
      await removeLayer(folder, path);
      left.delete(path);
      changed = true;
    }
  }
}

/**
 * Removes the flattened copies of layers that are gone, but for those that something reads through. Called while there
 * is still a record of why the layers went: without one, no later command would look for their copies.
 */
export async function removeFlattenedOfGone(graph: LayerGraph): Promise<void> {
  if (graph.flattened.size > 0) {
    await removeUnusedFlattened(graph, (path) => existsSync(layerOf(graph.folder, path)));
  }
}

/** Keyframes, each with the way to build it if it does not exist. */
export interface Shortening {
  readonly keyframes: readonly (Keyframe & { readonly recipe: Recipe | null })[];
  /** The most that building them writes, bytes. */
  readonly bytes: bigint;
}

/** The keyframes that the chain of `top` lacks. */
export async function planShortening(
  engine: Pick<LibvirtEngine, "settings">,
  graph: LayerGraph,
  top: string,
): Promise<Shortening> {
  const keyframes = [];
  let bytes = 0n;
  for (const keyframe of planKeyframes(graph, top, keyframeSpan(engine))) {
    const recipe = keyframe.on === null ? null : await recipeOf(graph, keyframe.layer, keyframe.on);
    keyframes.push({ ...keyframe, recipe });
    bytes += recipe?.bytes ?? 0n;
  }
  return { keyframes, bytes };
}

/** Adds keyframes to the chain that lacks them. No process may have its layers open. */
export async function shorten(
  name: string,
  graph: LayerGraph,
  { keyframes, bytes }: Shortening,
  options: RunOptions,
  begin: (number: number, of: number) => void = () => {},
): Promise<LayerGraph> {
  if (keyframes.length === 0) {
    return graph;
  }
  await checkSpace(graph.folder, bytes);
  for (const [at, { frame, child, recipe }] of keyframes.entries()) {
    begin(at + 1, keyframes.length);
    if (recipe !== null) {
      await buildFlattened(name, frame, recipe, options);
    }
    await keepingTimes(child, () => pointTo(child, frame, options));
  }
  return graph.again();
}

/**
 * Keeps the chains of the given layers within the length that the setting allows, using keyframes. No process
 * may have the layers open. Resolves to the graph after that.
 */
export async function keepShort(
  engine: Pick<LibvirtEngine, "settings" | "log">,
  { name, active }: { readonly name: string; readonly active: readonly string[] },
  graph: LayerGraph,
  tops: Iterable<string>,
  options: RunOptions,
): Promise<LayerGraph> {
  let now = graph;
  try {
    for (const top of tops) {
      if (now.opened(top).length < chainLength(engine)) {
        continue;
      }
      now = await leaveReadImages(now, active, options);
      now = await shorten(name, now, await planShortening(engine, now, top), options);
    }
    return now;
  } catch (error) {
    if (options.signal?.aborted) {
      throw error;
    }
    // The chain may still be short enough to start; the caller checks that.
    const reason = reasonOf(error);
    engine.log.warn(`could not build keyframes of "${name}": ${reason}`);
    return graph.again();
  }
}
