import { expect } from "chai";
import { createFaults, readScript } from "../../../../plugins/memory/faults.ts";

class Died extends Error {}

function faults() {
  return createFaults(() => {
    throw new Died();
  });
}

describe("faults by script", () => {
  it("are read from a setting, and refused where they make no sense", () => {
    expect(readScript("")).to.deep.equal([]);
    expect(readScript("fail@3, die@7")).to.deep.equal([
      { how: "fail", step: 3 },
      { how: "die", step: 7 },
    ]);
    for (const wrong of ["fail", "fail@0", "die@-1", "burn@1", "fail@1,,die@2"]) {
      expect(readScript(wrong), wrong).to.equal(undefined);
    }
  });

  it("strike at their step, once, and only there", () => {
    const { step, plan } = faults();
    const planned = plan(2, "fail");
    step("first");
    expect(planned.struck).to.equal(false);
    expect(() => step("second")).to.throw('the step "second" failed');
    expect(planned.struck).to.equal(true);
    step("third");
  });

  it("fail before a change and never after it; death comes at any time", () => {
    const { step, made, plan } = faults();
    plan(1, "fail");
    made("change");
    expect(() => step("next")).to.throw("failed");
    plan(2, "die");
    step("change");
    expect(() => made("change")).to.throw(Died);
  });

  it("are called off by whoever planned them", () => {
    const { step, plan } = faults();
    {
      using _planned = plan(1, "fail");
    }
    step("first");
  });
});
