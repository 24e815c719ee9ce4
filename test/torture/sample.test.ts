import {
  anyKill,
  disturb,
  everyDaemonDeath,
  everyFault,
  everyFullDisk,
  everyKill,
  numbers,
  openTorture,
  pick,
  type Torture,
  type Trial,
} from "./trials.ts";

/** `make torture` does all of it; TORTURE_SEED picks another sample. */
const seed = Number(process.env.TORTURE_SEED ?? 1);

describe(`whatever dies, everything is as before or as after (seed ${seed})`, () => {
  let torture: Torture;
  const random = numbers(seed);
  before(async () => {
    torture = await openTorture({ settings: { "chain-length": "4" } });
  });
  after(() => torture[Symbol.asyncDispose]());

  const sample = async (count: number, next: () => Trial, on = torture) => {
    for (let done = 0; done < count; ) {
      const trial = next();
      const disturbed = await disturb(on, trial).catch((error: unknown) => {
        const { scenario, disturbance } = trial;
        throw new Error(`${scenario.name}, ${JSON.stringify(disturbance)}`, { cause: error });
      });
      if (disturbed) done += 1;
    }
  };

  it("strata, at a step", () => sample(40, () => pick(everyKill(torture), random)));
  it("strata, anywhere", () => sample(20, () => anyKill(torture, random)));
  it("a touch of libvirt, a file or a program", () => sample(20, () => pick(everyFault(torture), random)));
  it("libvirtd", () => sample(6, () => pick(everyDaemonDeath(torture), random)));

  it("the disk, which is full", async () => {
    const only = ["take", "restore, elsewhere", "delete in the middle, merging"];
    await using small = await openTorture({ size: 64 * 1024 ** 2, only });
    await sample(9, () => pick(everyFullDisk(small), random), small);
  });
});
