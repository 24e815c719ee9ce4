import { expect } from "chai";
import { compareChains } from "../../../../../plugins/libvirt/domain/definition-chain.ts";
import { flattenedPath } from "../../../../../plugins/libvirt/layers/names.ts";
import { BASE, FOLDER, layerPath } from "../../../../support/libvirt/layers.ts";

const [LOW, MIDDLE, TOP] = [layerPath(1), layerPath(2), layerPath(3)];

/** Files that exist, each with the backing file in its header. */
function compare(backing: Readonly<Record<string, string | null>>, files: readonly string[], ends = true) {
  return compareChains(TOP, { files, ends }, FOLDER, {
    backingOf: (path) => backing[path],
    exists: (path) => path in backing,
  });
}

describe("the chain in a definition", () => {
  const headers = { [TOP]: MIDDLE, [MIDDLE]: LOW, [LOW]: BASE, [BASE]: null };

  it("agrees with the same chain of headers, also as far as it goes", () => {
    expect(compare(headers, [MIDDLE, LOW, BASE])).to.equal(undefined);
    expect(compare(headers, [MIDDLE], false)).to.equal(undefined);
  });

  it("agrees with headers that read through a flattened copy", () => {
    const image = flattenedPath("image", MIDDLE);
    expect(compare({ ...headers, [TOP]: image, [image]: BASE }, [MIDDLE, LOW, BASE])).to.equal(undefined);
  });

  it("agrees where a layer that it lists was merged since", () => {
    expect(compare({ [TOP]: LOW, [LOW]: BASE, [BASE]: null }, [MIDDLE, LOW, BASE])).to.equal(undefined);
  });

  it("contradicts a header that names another file", () => {
    expect(compare({ ...headers, [TOP]: LOW }, [MIDDLE, LOW, BASE])).to.contain(`header says ${LOW}`);
    expect(compare({ ...headers, [MIDDLE]: null }, [MIDDLE, LOW])).to.contain("header says nothing");
  });

  it("contradicts a header that goes on where it ends", () => {
    expect(compare(headers, [MIDDLE, LOW])).to.contain(`header says ${BASE}`);
  });

  it("says nothing of files that cannot be read", () => {
    const { [MIDDLE]: _, ...others } = headers;
    expect(compare({ ...others, [TOP]: MIDDLE }, [MIDDLE, LOW, BASE])).to.equal(undefined);
  });
});
