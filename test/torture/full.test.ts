import { expect } from "chai";
import { disturb, everyFullDisk, openTorture, type Torture } from "./trials.ts";

describe("the disk is full from a step on", () => {
  let torture: Torture;
  before(async () => {
    torture = await openTorture({
      fileSystem: { kind: "ext4", size: 64 * 1024 ** 2 },
      only: ["restore, elsewhere", "comment", "rename", "delete under the head"],
    });
  });
  after(() => torture[Symbol.asyncDispose]());

  it("a record that libvirt cannot write and forgets is kept, told, and given back", async () => {
    const trials = everyFullDisk(torture);
    expect(trials.length).to.be.greaterThan(20);
    for (const trial of trials) {
      const { scenario, disturbance } = trial;
      await disturb(torture, trial).catch((error: unknown) => {
        throw new Error(`${scenario.name}, ${JSON.stringify(disturbance)}`, { cause: error });
      });
    }
  });
});
