import { expect } from "chai";
import { flattenedPath } from "../../../../../plugins/libvirt/layers/names.ts";
import { BASE, graphOf, layerPath } from "../../../../support/libvirt/layers.ts";
import { thrownCode } from "../../../../support/thrown-code.ts";

const [LOW, MIDDLE, TOP] = [layerPath(1), layerPath(2), layerPath(3)];

describe("the graph of layers", () => {
  it("knows what stands on a layer, wherever that is", () => {
    const graph = graphOf({ [LOW]: BASE, [MIDDLE]: LOW, "/elsewhere/overlay": LOW });
    expect(graph.dependants(LOW)).to.deep.equal([MIDDLE, "/elsewhere/overlay"]);
    expect(graph.dependants(MIDDLE)).to.deep.equal([]);
  });

  it("counts what reads through a flattened copy as standing on the layer", () => {
    const image = flattenedPath("image", MIDDLE);
    const graph = graphOf({ [LOW]: BASE, [MIDDLE]: LOW, [TOP]: image }, { copies: { [image]: BASE } });
    expect(graph.dependants(MIDDLE)).to.deep.equal([TOP]);
    expect(graph.chain(TOP)).to.deep.equal([TOP, MIDDLE, LOW, BASE]);
    expect(graph.opened(TOP)).to.deep.equal([TOP, image, BASE]);
  });

  it("refuses a chain that leads back to itself", () => {
    const graph = graphOf({ [LOW]: TOP, [MIDDLE]: LOW, [TOP]: MIDDLE });
    expect(thrownCode(() => graph.chain(MIDDLE))).to.equal("RECORDS_DIFFER");
    expect(thrownCode(() => graph.opened(MIDDLE))).to.equal("RECORDS_DIFFER");
  });
});
