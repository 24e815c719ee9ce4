import type { Context, ReadImages } from "../../lib/backend/contract.ts";
import { failure } from "../../lib/errors.ts";
import { type Engine, type Managed, runOptions } from "./engine.ts";
import { mapped } from "./errors.ts";
import { readGraph } from "./graph.ts";
import { planKeyframes } from "./keyframes.ts";
import { isLayerPath, type LayerGraph, layerSize, standInPath } from "./layers.ts";
import { checkSpace } from "./pool.ts";
import { pointTo, type RunOptions } from "./qemu-img.ts";
import { getReady } from "./recovery.ts";
import { instanceFolder } from "./removal.ts";
import {
  addKeyframes,
  advanceStandIn,
  buildStandIn,
  isCached,
  keyframeSpan,
  leaveReadImages,
  removeUnusedStandIns,
  sizeOf,
  standInsSize,
} from "./stand-ins.ts";
import { isSettled } from "./view.ts";
import { readDisk } from "./xml/domain.ts";

const GIB = 1024n ** 3n;
/** Layers below the head that are read through as they are: up to here a read image gains nothing. */
const SHALLOW = 4;
/** Most that a start copies, bytes: about what the guest's own boot takes. */
const START_COPY = GIB;
/** What a run of qemu-img costs beside the data, as bytes that copy in the same time: some 20 ms. */
const RUN_COST = 4n * 1024n ** 2n;
/** Runs that building an image anew takes; moving one on takes one for each layer. */
const RUNS_OF_BUILD = 3n;
/** Most that a read image takes, GiB, where the setting does not say. */
const LARGEST = 16;

/** How much a build may copy, and how large the image may get (0: there is to be none); bytes. */
interface Budget {
  readonly copy: bigint;
  readonly size: bigint;
}

export function readImageGroup(engine: Engine): ReadImages {
  return {
    build: (id, context) => mapped(() => build(engine, id, context)),
    size: (id) => mapped(async () => standInsSize(instanceFolder(await engine.pool(), id))),
  };
}

async function build(engine: Engine, id: string, context: Context): Promise<void> {
  const managed = await getReady(engine, id, context);
  if (!(await isSettled(managed))) {
    const reason = "Only stopped instances can be optimized";
    const { name } = managed;
    if (await managed.domain.hasManagedSaveImage()) throw failure("INSTANCE_SUSPENDED", { name, reason });
    throw failure("WRONG_STATE", { name, reason, state: "Running" });
  }
  await consolidate(engine, managed, context, null);
}

/**
 * Before a guest boots: what it reads through is brought up to date as far as that is quick. Nothing that
 * goes wrong here keeps it from starting. The instance is stopped and nothing is saved.
 */
export async function prepareReads(engine: Engine, managed: Managed, context: Context): Promise<void> {
  try {
    const { "read-images": wanted, "read-image-size": largest } = engine.settings;
    const size = wanted === "off" ? 0n : BigInt(Number(largest) || LARGEST) * GIB;
    await consolidate(engine, managed, context, { copy: START_COPY, size });
  } catch (error) {
    if (context.signal.aborted) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    engine.log.warn(`"${managed.name}" starts without a read image: ${reason}`);
  }
}

/** Gives the head a read image and its chain keyframes, within a budget or (null) whatever it takes. */
async function consolidate(
  engine: Engine,
  managed: Managed,
  context: Context,
  budget: Budget | null,
): Promise<void> {
  const { name, metadata } = managed;
  const { folder } = metadata;
  const head = readDisk(managed.document);
  const options = runOptions(engine, managed.domain.uuid, context);
  const off = budget?.size === 0n;
  const found = await readGraph(managed);
  let graph = await leaveReadImages(found, off ? null : head, options);
  const frozen = graph.headers.get(head)?.backing;
  if (typeof frozen !== "string" || !isLayerPath(folder, head) || !isLayerPath(folder, frozen)) return;
  if (off) await removeUnusedStandIns(graph);
  const update = off ? null : await planUpdate(graph, frozen, budget);
  if (update !== null) {
    context.progress({ phase: "Bringing layers together" });
    graph = await updateReadImage(name, graph, head, update, options);
  }
  // A head that reads through its image is no link of the chain that the snapshots stand in.
  const top = graph.headers.get(head)?.through === frozen ? head : frozen;
  const keyframes = planKeyframes(graph, top, keyframeSpan(engine));
  const cost = await sizeOf(keyframes.flatMap(({ between }) => between));
  if (keyframes.length > 0 && (budget === null || cost <= budget.copy)) {
    await checkSpace(folder, cost);
    context.progress({ phase: "Bringing layers together" });
    graph = await addKeyframes(name, graph, keyframes, options);
  }
  if (graph.standIns.size > 0) await removeUnusedStandIns(graph, isCached(graph));
}

/** How the read image of a layer comes about. */
interface Update {
  readonly image: string;
  /** The read image of a layer further down that it is made of; null to start from `base`. */
  readonly from: string | null;
  readonly base: string;
  /** The layers to copy, lowest first; none where it is there already. */
  readonly between: readonly string[];
}

/** What it takes to give `frozen` its read image; null where that gains nothing or costs too much. */
async function planUpdate(graph: LayerGraph, frozen: string, budget: Budget | null): Promise<Update | null> {
  const layers = graph.chain(frozen);
  const base = layers.pop();
  if (base === undefined || layers.length <= (budget === null ? 1 : SHALLOW)) return null;
  const image = standInPath("image", frozen);
  if (graph.standIns.has(image)) return { image, from: image, base, between: [] };
  const referred = new Set([...graph.headers.values()].map(({ through }) => through));
  const free = (path: string) => graph.standIns.has(path) && !referred.has(path);
  const at = layers.findIndex((layer) => free(standInPath("image", layer)));
  const newer = layers.slice(0, Math.max(0, at));
  const [all, delta] = await Promise.all([sizeOf(layers), sizeOf(newer)]);
  const moves = at !== -1 && delta + RUN_COST * BigInt(newer.length) < all + RUN_COST * RUNS_OF_BUILD;
  const from = moves ? standInPath("image", layers[at] ?? frozen) : null;
  const between = (moves ? newer : layers).reverse();
  const copy = moves ? delta : all;
  const size = copy + (from === null ? 0n : ((await layerSize(from)) ?? 0n));
  // An image that is there for speed alone leaves as much room again as it takes.
  if (
    budget !== null &&
    (copy > budget.copy || size > budget.size || !(await hasSpace(graph.folder, 2n * copy)))
  )
    return null;
  return { image, from, base, between };
}

async function updateReadImage(
  name: string,
  graph: LayerGraph,
  head: string,
  { image, from, base, between }: Update,
  options: RunOptions,
): Promise<LayerGraph> {
  const { folder } = graph;
  if (from === null) {
    await removeUnusedStandIns(graph);
    await checkSpace(folder, await sizeOf(between));
    await buildStandIn(name, image, base, options);
  } else if (between.length > 0) {
    await checkSpace(folder, await sizeOf(between));
    await advanceStandIn(name, from, image, between, options);
  }
  if (graph.headers.get(head)?.through !== image) await pointTo(head, image, options);
  await removeUnusedStandIns(graph);
  return graph.again();
}

async function hasSpace(folder: string, bytes: bigint): Promise<boolean> {
  return checkSpace(folder, bytes).then(
    () => true,
    () => false,
  );
}
