import { expect } from "chai";
import { stageOf } from "../../../../../plugins/libvirt/journal/finish-take.ts";

const [OLD, NEW] = ["/f/old.qcow2", "/f/new.qcow2"];
const TAKE = { snapshot: null, file: NEW, below: OLD, activeLayer: OLD };

describe("an interrupted take", () => {
  it("was recorded if the snapshot of its name has its overlay or froze its layer", () => {
    for (const activeLayer of [OLD, NEW]) {
      const named = { overlays: [NEW], frozen: ["/f/moved.qcow2"] };
      expect(stageOf({ ...TAKE, activeLayer, snapshot: named })).to.equal("recorded");
      const frozen = { overlays: ["/f/merged.qcow2"], frozen: [OLD] };
      expect(stageOf({ ...TAKE, activeLayer, snapshot: frozen })).to.equal("recorded");
    }
  });

  it("was not recorded by another snapshot of its name", () => {
    const other = { overlays: ["/f/a.qcow2"], frozen: ["/f/b.qcow2"] };
    expect(stageOf({ ...TAKE, snapshot: other })).to.equal("unswitched");
    expect(stageOf({ ...TAKE, snapshot: other, activeLayer: NEW })).to.equal("switched");
  });

  it("came as far as the switch if the domain writes its overlay", () => {
    expect(stageOf(TAKE)).to.equal("unswitched");
    expect(stageOf({ ...TAKE, activeLayer: NEW })).to.equal("switched");
  });
});
