import { expect } from "chai";
import { problemOf } from "../../../../../plugins/libvirt/audit/orphans.ts";
import { BASE, graphOf, layerPath } from "../../../../support/libvirt/layers.ts";

const [LOW, TOP, OTHER] = [layerPath(1), layerPath(2), layerPath(3)];
const IDLE = { inUse: new Set<string>(), shutOff: true };

describe("a layer that nothing names", () => {
  it("is orphaned, or only unnamed while another stands on it", () => {
    const graph = graphOf({ [LOW]: BASE, [TOP]: LOW });
    expect(problemOf(TOP, graph, IDLE)).to.equal("orphaned");
    expect(problemOf(LOW, graph, IDLE)).to.equal("unnamed");
  });

  it("is no problem while a guest uses it", () => {
    const graph = graphOf({ [LOW]: BASE, [TOP]: LOW });
    const busy = { inUse: new Set([LOW, TOP]), shutOff: false };
    expect([LOW, TOP].map((path) => problemOf(path, graph, busy))).to.deep.equal([undefined, undefined]);
  });

  it("is to be merged once it may be removed, one layer stands on it and no guest runs", () => {
    const graph = graphOf({ [LOW]: BASE, [TOP]: LOW }, { pending: [LOW] });
    expect(problemOf(LOW, graph, IDLE)).to.equal("unmerged");
    expect(problemOf(LOW, graph, { ...IDLE, shutOff: false })).to.equal(undefined);
  });

  it("stays without a finding while several stand on it that may be removed", () => {
    const graph = graphOf({ [LOW]: BASE, [TOP]: LOW, [OTHER]: LOW }, { pending: [LOW] });
    expect(problemOf(LOW, graph, IDLE)).to.equal(undefined);
  });

  it("is kept with QEMU's own snapshots in it, even if it may be removed", () => {
    const graph = graphOf({ [LOW]: BASE, [TOP]: LOW }, { inside: { [LOW]: 1 }, pending: [LOW] });
    expect(problemOf(LOW, graph, IDLE)).to.equal("kept");
  });
});
