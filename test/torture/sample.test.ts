import {
  anyKill,
  disturb,
  everyFault,
  everyKill,
  numbers,
  openTorture,
  pick,
  type Torture,
  type Trial,
} from "./trials.ts";

/** `make torture` does far more; TORTURE_SEED picks another sample. */
const seed = Number(process.env.TORTURE_SEED ?? 1);

describe(`whatever dies, everything is as before or as after (seed ${seed})`, () => {
  let torture: Torture;
  const random = numbers(seed);
  before(async () => {
    torture = await openTorture({
      disks: 3,
      fileSystem: { kind: "xfs", size: 512 * 1024 ** 2 },
      settings: { "chain-length": "4" },
    });
  });
  after(() => torture[Symbol.asyncDispose]());

  const sample = async (count: number, next: () => Trial, on = torture) => {
    for (let done = 0; done < count; ) {
      const trial = next();
      const disturbed = await disturb(on, trial).catch((error: unknown) => {
        const { scenario, disturbance } = trial;
        throw new Error(`${scenario.name}, ${JSON.stringify(disturbance)}`, { cause: error });
      });
      if (disturbed) {
        done += 1;
      }
    }
  };

  it("strata, at a step", () => sample(40, () => pick(everyKill(torture), random)));
  it("strata, anywhere", () => sample(20, () => anyKill(torture, random)));
  it("a write, at a step", () => sample(20, () => pick(everyFault(torture), random)));

  it("a write, at each step of growing a disk: one that grew and was not flushed has grown", async () => {
    const trials = everyFault(torture).filter(({ scenario }) => scenario.name === "resize");
    await sample(trials.length, () => trials.shift() ?? pick(everyFault(torture), random));
  });
});
