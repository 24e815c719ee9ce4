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
  const { folder } = graph;
  const [base, ...layers] = graph.chain(top).reverse();
  if (base === undefined) {
    return [];
  }
  const keyframes: Keyframe[] = [];
  let below = { file: base, depth: 0 };
  let between = 0;
  for (const [at, layer] of layers.entries()) {
    const child = layers[at + 1];
    if (child === undefined) {
      break;
    }
    between += 1;
    const through = graph.headers.get(child)?.through ?? layer;
    if (through !== layer) {
      // It already exists. Only keyframes can be stood on, because a read image moves on with the active
      // layer.
      if (through === flattenedPath("frame", layer)) {
        below = { file: through, depth: graph.opened(through).length - 1 };
      }
      between = 0;
    } else if (between >= span && isLayerPath(folder, layer) && isLayerPath(folder, child)) {
      const frame = flattenedPath("frame", layer);
      if (graph.flattened.has(frame)) {
        keyframes.push({ layer, frame, child, on: null });
        below = { file: frame, depth: graph.opened(frame).length - 1 };
      } else {
        if (below.depth >= span) {
          below = { file: base, depth: 0 };
        }
        keyframes.push({ layer, frame, child, on: below.file });
        below = { file: frame, depth: below.depth + 1 };
      }
      between = 0;
    }
  }
  return keyframes;
}
