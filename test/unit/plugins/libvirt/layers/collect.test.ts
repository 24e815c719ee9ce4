import { expect } from "chai";
import { mergeableChild } from "../../../../../plugins/libvirt/layers/collect.ts";
import { BASE, graphOf, layerPath } from "../../../../support/libvirt/layers.ts";

const [LOW, TOP, OTHER] = [layerPath(1), layerPath(2), layerPath(3)];

describe("the layer to merge with", () => {
  it("is the only one that stands on a layer", () => {
    expect(mergeableChild(graphOf({ [LOW]: BASE, [TOP]: LOW }), LOW)).to.equal(TOP);
  });

  it("does not exist while none or several stand on it", () => {
    expect(mergeableChild(graphOf({ [LOW]: BASE }), LOW)).to.equal(undefined);
    expect(mergeableChild(graphOf({ [LOW]: BASE, [TOP]: LOW, [OTHER]: LOW }), LOW)).to.equal(undefined);
  });

  it("is not one with QEMU's own snapshots, which read through the layer", () => {
    const graph = graphOf({ [LOW]: BASE, [TOP]: LOW }, { inside: { [TOP]: 1 } });
    expect(mergeableChild(graph, LOW)).to.equal(undefined);
  });
});
