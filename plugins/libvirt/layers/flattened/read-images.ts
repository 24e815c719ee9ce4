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
import { readDisk } from "../../xml/disks.ts";
import { flattenedPath, isLayerPath, type LayerGraph, sizeOf } from "../layers.ts";
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
/** Layers below the head that are read through as they are: up to here a read image gains nothing. */
const MIN_DEPTH = 4;
/** Most that a start copies, bytes: about what the guest's own boot takes. */
const MAX_START_COPY_BYTES = GIB;
/** Most that a read image takes, GiB, where the setting does not say. */
const DEFAULT_SIZE_GIB = 16;

/** How much a build may copy, and how large the image may get (0: there is to be none); bytes. */
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
 * Before a guest boots: what it reads through is brought up to date as far as that is quick. Nothing that
 * goes wrong here keeps it from starting. The instance is stopped and nothing is saved.
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

/** Gives the head a read image and its chain keyframes, within a budget or (null) whatever it takes. */
async function consolidate(
  engine: LibvirtEngine,
  managed: Managed,
  context: Context,
  budget: Budget | null,
): Promise<void> {
  const { name, metadata } = managed;
  const { folder } = metadata;
  const activeLayer = readDisk(managed.document);
  const options = runOptions(engine, managed.domain.uuid, context);
  const off = budget?.size === 0n;
  const { graph: found } = await removePending(managed, await listCopies(folder));
  let graph = await leaveReadImages(found, off ? null : activeLayer, options);
  const frozen = graph.headers.get(activeLayer)?.backing;
  if (typeof frozen !== "string" || !isLayerPath(folder, activeLayer) || !isLayerPath(folder, frozen)) {
    return;
  }
  if (off) {
    await removeUnusedFlattened(graph);
  }
  const update = off ? null : await planUpdate(graph, frozen, budget);
  if (update !== null) {
    context.progress({ phase: "Bringing layers together" });
    graph = await updateReadImage(name, graph, activeLayer, update, options);
  }
  // A head that reads through its image is no link of the chain that the snapshots stand in.
  const top = graph.headers.get(activeLayer)?.through === frozen ? activeLayer : frozen;
  const shortening = await planShortening(engine, graph, top);
  if (shortening.keyframes.length > 0 && (budget === null || shortening.bytes <= budget.copy)) {
    context.progress({ phase: "Bringing layers together" });
    graph = await shorten(name, graph, shortening, options);
  }
  if (graph.flattened.size > 0) {
    await removeUnusedFlattened(graph, isCached(graph));
  }
}

/** How the read image of a layer comes about: built, or made of that of a layer further down. */
interface Update {
  readonly image: string;
  readonly way: Recipe | Move;
}

interface Move {
  readonly from: string;
  /** The layers to copy, lowest first; none where it is there already. */
  readonly copied: readonly string[];
  /** Most bytes that this writes. */
  readonly bytes: bigint;
}

/** What it takes to give `frozen` its read image; null where that gains nothing or costs too much. */
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
  // What an image shares with the lowest layer takes no room, though it counts for both files.
  const size = moves && built.clone === null ? move.bytes + (await sizeOf([move.from])) : built.bytes;
  // An image that is there for speed alone leaves as much room again as it takes.
  if (
    budget !== null &&
    (way.bytes > budget.copy || size > budget.size || !(await hasSpace(graph.folder, 2n * way.bytes)))
  ) {
    return null;
  }
  return { image, way };
}

/** How the read image of the nearest of the layers that has one is moved on to the first; null if none has. */
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
  if ("on" in way) {
    await removeUnusedFlattened(graph);
    await checkSpace(folder, way.bytes);
    await buildFlattened(name, image, way, options);
  } else if (way.copied.length > 0) {
    await checkSpace(folder, way.bytes);
    await advanceFlattened(name, way.from, image, way.copied, options);
  }
  if (graph.headers.get(activeLayer)?.through !== image) {
    await pointTo(activeLayer, image, options);
  }
  await removeUnusedFlattened(graph);
  return graph.again();
}
