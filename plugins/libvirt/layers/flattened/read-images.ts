import type { Context, ReadImages } from "../../../../lib/engine/contract.ts";
import { lockedId } from "../../../../lib/engine/locks.ts";
import { failure, reasonOf } from "../../../../lib/errors.ts";
import { isShutOff } from "../../domain/view.ts";
import { type LibvirtEngine, type Managed, runOptions } from "../../engine.ts";
import { getReady } from "../../journal/recover.ts";
import { instanceFolder } from "../../lifecycle/removal.ts";
import { pointTo, type RunOptions } from "../../qcow2/qemu-img.ts";
import { listCopies } from "../../snapshots/record-copies.ts";
import { checkSpace, hasSpace } from "../../storage/pool.ts";
import { ownLayers } from "../../xml/disks.ts";
import type { LayerGraph } from "../layer-graph.ts";
import { sizeOf } from "../layers.ts";
import { flattenedPath, isLayerPath, layerOf } from "../names.ts";
import { removePending } from "../removable.ts";
import {
  advanceFlattened,
  buildFlattened,
  flattenedSize,
  isCached,
  leaveReadImages,
  planShortening,
  removeUnusedFlattened,
  shorten,
} from "./flattened.ts";
import { costOf, type Recipe, recipeOf } from "./recipe.ts";

const GIB = 1024n ** 3n;
/** Up to so many layers below the active one, a read image gains nothing. */
const MIN_DEPTH = 4;
/** The most that a start copies, bytes: it takes about as long as the guest's own boot. */
const MAX_START_COPY_BYTES = GIB;
/** The largest read image, GiB, if the setting does not say. */
const DEFAULT_SIZE_GIB = 16;

/** How much a build may copy, and how large the image may get (0: there shall be none); bytes. */
interface Budget {
  readonly copy: bigint;
  readonly size: bigint;
}

export function readImageGroup(engine: LibvirtEngine): ReadImages {
  return {
    build: async (lock, context) => build(engine, lockedId(engine, lock), context),
    size: async (id) => flattenedSize(instanceFolder(await engine.pool(), id)),
  };
}

async function build(engine: LibvirtEngine, id: string, context: Context): Promise<void> {
  const managed = await getReady(engine, id, context);
  if (!(await isShutOff(managed))) {
    const reason = "Only stopped instances can be optimized";
    const { name } = managed;
    if (await managed.domain.hasManagedSaveImage()) {
      throw failure("INSTANCE_SUSPENDED", { name, reason });
    }
    throw failure("WRONG_STATE", { name, reason, state: "Running" });
  }
  await consolidate(engine, managed, context, null);
}

/**
 * Before a guest boots, updates its read image and keyframes as far as that is quick. Failing to do so does
 * not keep the guest from starting. The instance is stopped, without saved memory.
 */
export async function prepareReads(engine: LibvirtEngine, managed: Managed, context: Context): Promise<void> {
  try {
    const { "read-images": wanted, "read-image-size": largest } = engine.settings;
    const size = wanted === "off" ? 0n : BigInt(Number(largest) || DEFAULT_SIZE_GIB) * GIB;
    await consolidate(engine, managed, context, { copy: MAX_START_COPY_BYTES, size });
  } catch (error) {
    if (context.signal.aborted) {
      throw error;
    }
    const reason = reasonOf(error);
    engine.log.warn(`"${managed.name}" starts without a read image: ${reason}`);
  }
}

/** Gives every active layer a read image and its chain keyframes, within a budget or (null) at any cost. */
async function consolidate(
  engine: LibvirtEngine,
  managed: Managed,
  context: Context,
  budget: Budget | null,
): Promise<void> {
  const { folder } = managed.metadata;
  const active = ownLayers(managed.document, folder);
  const options = runOptions(engine, managed.domain.uuid, context);
  const off = budget?.size === 0n;
  const { graph: found } = await removePending(managed, await listCopies(folder));
  let graph = await leaveReadImages(found, off ? [] : active, options);
  const layered = active.filter((path) => isLayered(graph, path));
  if (layered.length === 0) {
    return;
  }
  if (off) {
    await removeUnusedFlattened(graph);
  }
  let left = budget;
  for (const path of layered) {
    const done = await consolidateDisk(engine, { managed, graph, path }, context, left);
    ({ graph } = done);
    left = left === null ? null : { ...left, copy: left.copy - done.copied };
  }
  if (graph.flattened.size > 0) {
    await removeUnusedFlattened(graph, isCached(graph));
  }
}

/** True for an active layer that stands on another layer. */
function isLayered({ folder, headers }: LayerGraph, path: string): boolean {
  const frozen = headers.get(path)?.backing;
  return typeof frozen === "string" && isLayerPath(folder, path) && isLayerPath(folder, frozen);
}

/** What `consolidate` does for one disk, with how much it may have copied, in bytes. */
async function consolidateDisk(
  engine: LibvirtEngine,
  { managed, graph: found, path }: { managed: Managed; graph: LayerGraph; path: string },
  context: Context,
  budget: Budget | null,
): Promise<{ readonly graph: LayerGraph; readonly copied: bigint }> {
  const { name } = managed;
  const options = runOptions(engine, managed.domain.uuid, context);
  const frozen = found.headers.get(path)?.backing ?? "";
  let graph = found;
  let copied = 0n;
  const update = budget?.size === 0n ? null : await planUpdate(graph, frozen, budget);
  if (update !== null) {
    context.progress({ phase: "Building a read image" });
    graph = await updateReadImage(name, graph, path, update, options);
    copied += update.way.bytes;
  }
  // An active layer that reads through its read image is not part of the chain that the snapshots need.
  const top = graph.headers.get(path)?.through === frozen ? path : frozen;
  const shortening = await planShortening(engine, graph, top);
  const allowed = budget === null || shortening.bytes + copied <= budget.copy;
  if (shortening.keyframes.length > 0 && allowed) {
    graph = await shorten(name, graph, shortening, options, (number, of) =>
      context.progress({ phase: "Building keyframes", item: { number, of } }),
    );
    copied += shortening.bytes;
  }
  return { graph, copied };
}

/** How the read image of a layer is made: built, or moved on from a layer further down. */
interface Update {
  readonly image: string;
  readonly way: Recipe | Move;
}

interface Move {
  readonly from: string;
  /** The layers to copy, lowest first; none if the image already exists. */
  readonly copied: readonly string[];
  /** The most that this writes, bytes. */
  readonly bytes: bigint;
}

/** How to make the read image of `frozen`; null if that gains nothing or costs too much. */
async function planUpdate(graph: LayerGraph, frozen: string, budget: Budget | null): Promise<Update | null> {
  const layers = graph.chain(frozen);
  const base = layers.pop();
  if (base === undefined || layers.length <= (budget === null ? 1 : MIN_DEPTH)) {
    return null;
  }
  const image = flattenedPath("image", frozen);
  if (graph.flattened.has(image)) {
    return { image, way: { from: image, copied: [], bytes: 0n } };
  }
  const built = await recipeOf(graph, frozen, base);
  const move = await planMove(graph, layers);
  const moves = move !== null && costOf(move.bytes, move.copied.length) < built.cost;
  const way = moves ? move : built;
  // Blocks that an image shares with the lowest layer take no space, although they count for both files.
  const size = moves && built.clone === null ? move.bytes + (await sizeOf([move.from])) : built.bytes;
  // An image that exists only for speed must leave as much free space as it takes.
  if (
    budget !== null &&
    (way.bytes > budget.copy || size > budget.size || !(await hasSpace(graph.folder, 2n * way.bytes)))
  ) {
    return null;
  }
  return { image, way };
}

/**
 * How to move the read image of the nearest layer that has one on to the first layer; null if none has one.
 */
async function planMove(graph: LayerGraph, layers: readonly string[]): Promise<Move | null> {
  const referred = new Set([...graph.headers.values()].map(({ through }) => through));
  const images = layers.map((layer) => flattenedPath("image", layer));
  const at = images.findIndex((path) => graph.flattened.has(path) && !referred.has(path));
  const from = images[at];
  if (from === undefined) {
    return null;
  }
  const copied = layers.slice(0, at).reverse();
  return { from, copied, bytes: await sizeOf(copied) };
}

async function updateReadImage(
  name: string,
  graph: LayerGraph,
  activeLayer: string,
  { image, way }: Update,
  options: RunOptions,
): Promise<LayerGraph> {
  const { folder } = graph;
  // Those of other disks may be moved on, too.
  const keep = (path: string) => isOfOther(graph, activeLayer, path);
  if ("on" in way) {
    await removeUnusedFlattened(graph, keep);
    await checkSpace(folder, way.bytes);
    await buildFlattened(name, image, way, options);
  } else if (way.copied.length > 0) {
    await checkSpace(folder, way.bytes);
    await advanceFlattened(name, way.from, image, way.copied, options);
  }
  if (graph.headers.get(activeLayer)?.through !== image) {
    await pointTo(activeLayer, image, options);
  }
  await removeUnusedFlattened(graph, keep);
  return graph.again();
}

/** True for the flattened copy of a layer of another disk: it stands on another lowest file. */
function isOfOther(graph: LayerGraph, activeLayer: string, path: string): boolean {
  const layer = layerOf(graph.folder, path);
  return graph.headers.has(layer) && graph.chain(layer).at(-1) !== graph.chain(activeLayer).at(-1);
}
