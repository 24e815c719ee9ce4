import type { LayerGraph } from "../layer-graph.ts";
import { flattenedPath, isLayerPath } from "../names.ts";

/**
 * `child` is to read through `frame`, the flattened copy of `layer`, which is built on `on` if it does not
 * exist.
 */
export interface Keyframe {
  readonly layer: string;
  readonly frame: string;
  readonly child: string;
  /** The keyframe below, or the base image; null if the frame already exists. */
  readonly on: string | null;
}

/**
 * The keyframes that the chain of `top` lacks, lowest first: one after every `span` layers, each on the one
 * below, and after `span` of them one on the base image again. So a chain of any length opens at most about
 * twice `span` files, each layer is copied once, and all of them once more only after `span` times `span`.
 */
export function planKeyframes(graph: LayerGraph, top: string, span: number): Keyframe[] {
  const [base, ...layers] = graph.chain(top).reverse();
  if (base === undefined) {
    return [];
  }
  const plan = new KeyframePlan(graph, base, span);
  for (const [at, layer] of layers.entries()) {
    const child = layers[at + 1];
    if (child !== undefined) {
      plan.visit(layer, child);
    }
  }
  return plan.keyframes;
}

class KeyframePlan {
  readonly keyframes: Keyframe[] = [];
  readonly #graph: LayerGraph;
  readonly #base: string;
  readonly #span: number;
  /** What the next keyframe can stand on: a keyframe, with the number of keyframes below, or the base image. */
  #below: { readonly file: string; readonly depth: number };
  /** Layers since the last keyframe. */
  #between = 0;

  constructor(graph: LayerGraph, base: string, span: number) {
    this.#graph = graph;
    this.#base = base;
    this.#span = span;
    this.#below = { file: base, depth: 0 };
  }

  /** Takes the next layer up and the one that stands on it. */
  visit(layer: string, child: string): void {
    const { folder, headers } = this.#graph;
    this.#between += 1;
    const through = headers.get(child)?.through ?? layer;
    if (through !== layer) {
      this.#pass(layer, through);
    } else if (this.#between >= this.#span && isLayerPath(folder, layer) && isLayerPath(folder, child)) {
      this.#add(layer, child);
    }
  }

  /** Goes past a layer that is read through a flattened copy already. */
  #pass(layer: string, through: string): void {
    // Only keyframes can be stood on, because a read image moves on with the active layer.
    if (through === flattenedPath("frame", layer)) {
      this.#below = { file: through, depth: this.#depthOf(through) };
    }
    this.#between = 0;
  }

  #add(layer: string, child: string): void {
    const frame = flattenedPath("frame", layer);
    if (this.#graph.flattened.has(frame)) {
      this.keyframes.push({ layer, frame, child, on: null });
      this.#below = { file: frame, depth: this.#depthOf(frame) };
    } else {
      if (this.#below.depth >= this.#span) {
        this.#below = { file: this.#base, depth: 0 };
      }
      this.keyframes.push({ layer, frame, child, on: this.#below.file });
      this.#below = { file: frame, depth: this.#below.depth + 1 };
    }
    this.#between = 0;
  }

  #depthOf(keyframe: string): number {
    return this.#graph.opened(keyframe).length - 1;
  }
}
