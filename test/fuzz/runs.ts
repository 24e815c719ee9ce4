/**
 * How many inputs each property tries: a sample in the ordinary run, all of it by `make fuzz`. The seed of
 * a failure stands in fast-check's message; `STRATA_FUZZ_SEED` tries it again.
 */
const all = Number(process.env.STRATA_FUZZ_RUNS ?? 300);
const seed = process.env.STRATA_FUZZ_SEED;

/** One count, however often this module is loaded. */
const shared = globalThis as typeof globalThis & { fuzzed?: { inputs: number } };
shared.fuzzed ??= { inputs: 0 };
const count = shared.fuzzed;

/** Options for `fc.assert`. A property whose inputs are costly takes a part of the runs. */
export function runs(part = 1) {
  const numRuns = Math.max(1, Math.round(all * part));
  count.inputs += numRuns;
  return { numRuns, ...(seed === undefined ? {} : { seed: Number(seed) }) };
}

after(() => {
  if (count.inputs > 0 && process.env.STRATA_FUZZ_RUNS !== undefined) {
    console.log(`inputs tried: ${count.inputs}`);
  }
  count.inputs = 0;
});
