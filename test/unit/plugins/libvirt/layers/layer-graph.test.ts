import { expect } from "chai";
import { layerGraph, toLayer } from "../../../../../plugins/libvirt/layers/layer-graph.ts";
import { flattenedPath } from "../../../../../plugins/libvirt/layers/names.ts";
import { thrownCode } from "../../../../support/thrown-code.ts";

const FOLDER = "/pool/instances/i";
const BASE = "/pool/images/base.qcow2";
const [LOW, MIDDLE, TOP] = [1, 2, 3].map(
  (number) => `${FOLDER}/layer-00000000-0000-0000-0000-00000000000${number}.qcow2`,
) as [string, string, string];

/** The graph of files, each with the backing file that its header names. */
function graphOf(
  files: Readonly<Record<string, string | null>>,
  copies: Readonly<Record<string, string>> = {},
) {
  const header = (backing: string | null) => ({ virtualSize: 1n, inside: 0, encrypted: false, backing });
  return layerGraph(
    "web",
    {
      folder: FOLDER,
      headers: new Map(
        Object.entries(files).map(([path, backing]) => [path, toLayer(FOLDER, header(backing))]),
      ),
      flattened: new Map(Object.entries(copies).map(([path, backing]) => [path, header(backing)])),
      unreadable: new Map(),
      pendingRemovals: new Map(),
    },
    () => Promise.reject(new Error("nothing to read")),
  );
}

describe("the graph of layers", () => {
  it("knows what stands on a layer, wherever that is", () => {
    const graph = graphOf({ [LOW]: BASE, [MIDDLE]: LOW, "/elsewhere/overlay": LOW });
    expect(graph.dependants(LOW)).to.deep.equal([MIDDLE, "/elsewhere/overlay"]);
    expect(graph.dependants(MIDDLE)).to.deep.equal([]);
  });

  it("counts what reads through a flattened copy as standing on the layer", () => {
    const image = flattenedPath("image", MIDDLE);
    const graph = graphOf({ [LOW]: BASE, [MIDDLE]: LOW, [TOP]: image }, { [image]: BASE });
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
