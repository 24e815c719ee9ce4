import { setImmediate } from "node:timers/promises";
import { expect } from "chai";
import { fewAtOnce } from "../../../../lib/util/few-at-once.ts";

describe("a few at once", () => {
  it("keep the order of the items, whichever ends first, and are never more", async () => {
    const items = Array.from({ length: 100 }, (_, at) => at);
    let running = 0;
    let most = 0;
    const results = await fewAtOnce(items, async (item) => {
      running += 1;
      most = Math.max(most, running);
      for (let turn = item % 5; turn >= 0; turn--) {
        await setImmediate();
      }
      running -= 1;
      return item * 2;
    });
    expect(results).to.deep.equal(items.map((item) => item * 2));
    expect(most).to.be.within(2, 10);
  });

  it("end with the first that fails, and begin no more", async () => {
    const begun: number[] = [];
    const work = async (item: number) => {
      begun.push(item);
      await setImmediate();
      if (item === 20) {
        throw new Error("no");
      }
    };
    const failed = await fewAtOnce([...Array(100).keys()], work).catch((error: Error) => error.message);
    expect(failed).to.equal("no");
    expect(begun.length).to.be.below(40);
  });
});
