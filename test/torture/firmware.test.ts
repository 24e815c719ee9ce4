import { disturb, everyKill, openTorture, type Torture } from "./trials.ts";

const TOUCHED = ["take", "restore, elsewhere", "delete a leaf", "clone", "purge"];

/** UEFI variables live and die with snapshots, whichever step strata is killed at. */
describe("whatever kills strata, UEFI variables are as before or as after", () => {
  let torture: Torture;
  before(async () => {
    torture = await openTorture({ firmware: "uefi", only: TOUCHED });
  });
  after(() => torture[Symbol.asyncDispose]());

  for (const name of TOUCHED) {
    it(`at every step of: ${name}`, async () => {
      for (const trial of everyKill(torture).filter(({ scenario }) => scenario.name === name)) {
        await disturb(torture, trial).catch((error: unknown) => {
          const { scenario, disturbance } = trial;
          const at = "at" in disturbance ? scenario.boundaries[disturbance.at - 1] : undefined;
          throw new Error(`${name}, ${JSON.stringify({ ...disturbance, ...at })}: ${error}`, {
            cause: error,
          });
        });
      }
    });
  }
});
