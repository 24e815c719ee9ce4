import { expect } from "chai";
import fc from "fast-check";
import { parsePendingRemovals } from "../../../../../plugins/libvirt/layers/pending-removals.ts";

const LAYER = { file: "layer-1.qcow2", inode: 12, modified: 1_700_000_000_000, above: ["/elsewhere/disk"] };
const list = (...layers: unknown[]) => JSON.stringify({ version: 1, layers });

describe("the layers that were released", () => {
  it("are told by their paths", () => {
    expect([...parsePendingRemovals("/f", list(LAYER))]).to.deep.equal([["/f/layer-1.qcow2", LAYER]]);
  });

  it("never are files of another folder", () => {
    for (const file of ["../other/layer-1.qcow2", "/etc/passwd", "a/b", "..", ""]) {
      expect([...parsePendingRemovals("/f", list({ ...LAYER, file })).keys()], file).to.deep.equal([]);
    }
  });

  it("are none where the list is of a version that is not known", () => {
    expect(parsePendingRemovals("/f", JSON.stringify({ version: 2, layers: [LAYER] })).size).to.equal(0);
  });

  it("are none of which something is missing, whatever is there in its place", () => {
    for (const member of ["file", "inode", "modified", "above"]) {
      fc.assert(
        fc.property(
          fc.oneof(fc.constant(null), fc.boolean(), fc.dictionary(fc.string(), fc.string())),
          (other) => {
            expect(parsePendingRemovals("/f", list({ ...LAYER, [member]: other })).size).to.equal(0);
          },
        ),
      );
    }
  });
});
