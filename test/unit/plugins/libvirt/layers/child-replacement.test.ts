import { expect } from "chai";
import { chooseFile } from "../../../../../plugins/libvirt/layers/child-replacement.ts";

const UNTOUCHED = { used: false, written: false };
const WRITTEN = { used: false, written: true };
const USED = { used: true, written: false };

describe("an interrupted replacement of a child by its layer", () => {
  it("is completed, unless only the child has been written or is in use", () => {
    expect(chooseFile({ child: UNTOUCHED, layer: UNTOUCHED })).to.equal("layer");
    expect(chooseFile({ child: UNTOUCHED, layer: WRITTEN })).to.equal("layer");
    expect(chooseFile({ child: UNTOUCHED, layer: USED })).to.equal("layer");
    expect(chooseFile({ child: WRITTEN, layer: UNTOUCHED })).to.equal("child");
    expect(chooseFile({ child: USED, layer: UNTOUCHED })).to.equal("child");
  });

  it("gives up no file where both may have data of their own", () => {
    expect(chooseFile({ child: WRITTEN, layer: WRITTEN })).to.equal("both");
  });

  it("waits while one of two such files is in use", () => {
    expect(chooseFile({ child: USED, layer: WRITTEN })).to.equal("undecided");
    expect(chooseFile({ child: WRITTEN, layer: USED })).to.equal("undecided");
  });
});
