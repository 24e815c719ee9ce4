import { readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { failure, reasonOf } from "../../../../lib/errors.ts";
import type { LibvirtEngine } from "../../engine.ts";
import { copyInto, flush, pointTo, type RunOptions } from "../../qcow2/qemu-img.ts";
import { removeIfThere, TEMPORARY } from "../../storage/durable-file.ts";
import { checkSpace, listIfThere } from "../../storage/pool.ts";
import {
  flattenedPath,
  isFlattenedPath,
  isLayerPath,
  isPartialPath,
  type LayerGraph,
  layerOf,
  newPartialPath,
  readLayer,
  removeLayer,
  sizeOf,
} from "../layers.ts";
import { keepingTimes } from "../pending-removals.ts";
import { type Keyframe, planKeyframes } from "./keyframes.ts";
import { makeBy, type Recipe, recipeOf } from "./recipe.ts";

/** Most files that a chain has before keyframes shorten it, where the setting does not say. */
const DEFAULT_CHAIN_LENGTH = 48;

/** The setting: most files that QEMU opens for a disk. */
function chainLength({ settings }: Pick<LibvirtEngine, "settings">): number {
  return Number(settings["chain-length"]) || DEFAULT_CHAIN_LENGTH;
}

/** Layers between two keyframes, so that as many keyframes again leave the chain within its length. */
function keyframeSpan(engine: Pick<LibvirtEngine, "settings">): number {
  return Math.max(1, Math.floor(chainLength(engine) / 2) - 1);
}

/** Takes away what builds and writes that died have left. The caller holds the instance, so none is under way. */
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

/** Bytes that the stand-ins in the folder take on the disk. */
export async function flattenedSize(folder: string): Promise<bigint> {
  const files = await listIfThere(folder);
  return sizeOf(files.map((file) => join(folder, file)).filter((path) => isFlattenedPath(folder, path)));
}

/**
 * Builds the stand-in of a layer. It gets its name when it is whole and durable, so a file of that name
 * can always be believed.
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
 * Turns the stand-in of a layer into that of one further up by bringing in what the layers in between
 * hold, lowest first. Nothing may refer to it.
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

/** Has a file made under another name, and gives it that of a stand-in; takes it away if that fails. */
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
 * Points every layer but the head away from read images, which are to move on, and every layer away from
 * stand-ins that are gone: to the keyframe, or else to the layer itself. Nobody may have the layers open.
 */
export async function leaveReadImages(
  graph: LayerGraph,
  activeLayer: string | null,
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
    // One that waits for its removal is told by its file's time.
    if (graph.pendingRemovals.has(path) && graph.dependants(path).length === 0) {
      continue;
    }
    const frame = flattenedPath("frame", backing);
    const kept = graph.flattened.has(through) && (path === activeLayer || through === frame);
    if (kept) {
      continue;
    }
    await keepingTimes(path, () => pointTo(path, graph.flattened.has(frame) ? frame : backing, options));
    changed = true;
  }
  return changed ? graph.again() : graph;
}

/** True for a read image that the head may come to read through again, or that one can be made of. */
export function isCached({ folder, headers }: Pick<LayerGraph, "folder" | "headers">) {
  return (path: string): boolean => {
    const layer = layerOf(folder, path);
    return path === flattenedPath("image", layer) && headers.has(layer);
  };
}

/** Removes the stand-ins that nothing of a whole graph, read anew, reads through, but those to keep. */
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

/** Keyframes with how each that is not there is built. */
export interface Shortening {
  readonly keyframes: readonly (Keyframe & { readonly recipe: Recipe | null })[];
  /** Most bytes that they write. */
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

/** Puts keyframes into the chain that lacks them. Nobody may have its layers open. */
export async function shorten(
  name: string,
  graph: LayerGraph,
  { keyframes, bytes }: Shortening,
  options: RunOptions,
): Promise<LayerGraph> {
  if (keyframes.length === 0) {
    return graph;
  }
  await checkSpace(graph.folder, bytes);
  for (const { frame, child, recipe } of keyframes) {
    if (recipe !== null) {
      await buildFlattened(name, frame, recipe, options);
    }
    await keepingTimes(child, () => pointTo(child, frame, options));
  }
  return graph.again();
}

/**
 * Keeps the chains of the given layers within the length that the setting allows, by keyframes. Nobody
 * may have the layers open. Resolves to the graph as it is then.
 */
export async function keepShort(
  engine: Pick<LibvirtEngine, "settings" | "log">,
  { name, activeLayer }: { readonly name: string; readonly activeLayer: string },
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
      now = await leaveReadImages(now, activeLayer, options);
      now = await shorten(name, now, await planShortening(engine, now, top), options);
    }
    return now;
  } catch (error) {
    if (options.signal?.aborted) {
      throw error;
    }
    // The chain may still be short enough to start, which the caller looks at.
    const reason = reasonOf(error);
    engine.log.warn(`the layers of "${name}" could not be brought together: ${reason}`);
    return graph.again();
  }
}
