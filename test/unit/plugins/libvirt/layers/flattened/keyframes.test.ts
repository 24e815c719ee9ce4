import { expect } from "chai";
import fc from "fast-check";
import { planKeyframes } from "../../../../../../plugins/libvirt/layers/flattened/keyframes.ts";
import { filesAbove } from "../../../../../../plugins/libvirt/layers/flattened/recipe.ts";
import type { LayerGraph } from "../../../../../../plugins/libvirt/layers/layer-graph.ts";
import { flattenedPath } from "../../../../../../plugins/libvirt/layers/names.ts";
import { BASE, graphOf, layerPath as layer } from "../../../../../support/libvirt/layers.ts";

/** Layers 1, 2, 3… on the base image, read through what `through` says. */
class Chain {
  readonly through = new Map<string, string>();
  readonly flattened = new Map<string, string>();

  graph(): LayerGraph {
    return graphOf(Object.fromEntries(this.through), { copies: Object.fromEntries(this.flattened) });
  }

  /** Does what is planned; returns how many layers were copied. */
  apply(top: string, span: number): number {
    let copied = 0;
    const graph = this.graph();
    for (const { layer, frame, child, on } of planKeyframes(graph, top, span)) {
      if (on !== null) {
        copied += filesAbove(graph, layer, on).length;
        this.flattened.set(frame, on);
      }
      this.through.set(child, frame);
    }
    return copied;
  }
}

function chainOf(length: number): Chain {
  const chain = new Chain();
  for (let at = 1; at <= length; at++) {
    chain.through.set(layer(at), at === 1 ? BASE : layer(at - 1));
  }
  return chain;
}

/** Takes one of the layers away, unless it is the last: the layer above gets what it stands on. */
function merge({ through }: Chain, layers: string[], at: number): void {
  const [gone, above] = [layers[at], layers[at + 1]];
  if (gone !== undefined && above !== undefined) {
    // The keyframe of the layer is not read any more.
    through.set(above, through.get(gone) ?? BASE);
    through.delete(gone);
    layers.splice(at, 1);
  }
}

describe("keyframes", () => {
  it("are not made for a chain that is short", () => {
    expect(planKeyframes(chainOf(5).graph(), layer(5), 5)).to.deep.equal([]);
  });

  it("stand on each other, and keep a thousand layers within 48 files, each copied once and half of them again", () => {
    const chain = chainOf(1000);
    const copied = chain.apply(layer(1000), 23);
    expect(chain.graph().opened(layer(1000)).length).to.be.at.most(48);
    expect(copied).to.be.at.most(1000 + 23 * 23);
    const first = flattenedPath("frame", layer(23));
    expect(chain.flattened.get(first)).to.equal(BASE);
    expect(chain.flattened.get(flattenedPath("frame", layer(46)))).to.equal(first);
  });

  it("keep any chain short however it grows and shrinks, and are stable", () => {
    const step = fc.oneof(fc.constant("grow" as const), fc.record({ remove: fc.nat() }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 6 }), (steps, span) => {
        const chain = chainOf(1);
        const layers = [layer(1)];
        let number = 1;
        for (const each of steps) {
          if (each === "grow") {
            number += 1;
            chain.through.set(layer(number), layers.at(-1) ?? BASE);
            layers.push(layer(number));
          } else {
            merge(chain, layers, each.remove % layers.length);
          }
          const top = layers.at(-1) ?? BASE;
          chain.apply(top, span);
          const graph = chain.graph();
          expect(graph.opened(top).length).to.be.at.most(2 * span + 2);
          expect(graph.chain(top)).to.deep.equal([...layers].reverse().concat(BASE));
          expect(planKeyframes(graph, top, span)).to.deep.equal([]);
        }
      }),
    );
  });
});
