import { runHands } from "./hands/run.ts";

/** `make torture TORTURE="--what hands"` does far more; TORTURE_SEED picks another sample. */
const seed = Number(process.env.TORTURE_SEED ?? 1);

describe(`whatever others do with virsh and on files, nothing is lost and there is a way on (seed ${seed})`, () => {
  it("forty interferences, mixed with our operations", async () => {
    const told: string[] = [];
    const { interferences, lost, stuck, unnamed, unclear } = await runHands({
      interferences: 40,
      seed,
      workers: 2,
      tell: (text) => told.push(text),
    });
    if (lost + stuck + unnamed + unclear > 0) {
      throw new Error(told.join("\n\n"));
    }
    if (interferences < 40) {
      throw new Error(`only ${interferences} interferences`);
    }
  });
});
