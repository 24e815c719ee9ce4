import { numbers } from "../trials.ts";
import { everyStart, startThere } from "./starts.ts";
import { anyStory, openStage, type Result, type Stage } from "./trial.ts";
/** How much is run, and from where. */
export interface Wanted {
  readonly interferences: number;
  readonly seed: number;
  readonly workers: number;
  /** Number of the one story to run. */
  readonly only?: number;
  /** Says what is wrong, and how to have it again. */
  tell(text: string): void;
}

export interface Totals {
  interferences: number;
  stories: number;
  /** Stories with such a fault. */
  lost: number;
  stuck: number;
  unnamed: number;
  unclear: number;
  readonly refusals: Map<string, number>;
}

/** Runs stories until there are enough interferences; half of the workers have short chains. */
export async function runHands(wanted: Wanted): Promise<Totals> {
  const totals = none();
  await onStages(wanted, async (stage, number) => {
    for (let at = number(); at !== undefined && totals.interferences < wanted.interferences; at = number()) {
      add(totals, wanted, await anyStory(stage, wanted.seed, at), `hands, seed ${wanted.seed}, --only ${at}`);
    }
  });
  return totals;
}

/** A guest is started at each step of each operation, or at as many of them as are wanted. */
export async function runStarts(wanted: Wanted): Promise<Totals> {
  const totals = none();
  await onStages(wanted, async (stage, number) => {
    const random = numbers(wanted.seed);
    const steps = (await everyStart(stage)).map((start) => ({ start, order: random() }));
    steps.sort((a, b) => a.order - b.order);
    for (let at = number(); at !== undefined && totals.interferences < wanted.interferences; at = number()) {
      const start = steps[at]?.start;
      if (start === undefined) {
        return;
      }
      const label = `starts, seed ${wanted.seed}, --only ${at}`;
      add(totals, wanted, await startThere(stage, start, wanted.seed), label);
    }
  });
  return totals;
}

function none(): Totals {
  const counts = { interferences: 0, stories: 0, lost: 0, stuck: 0, unnamed: 0, unclear: 0 };
  return { ...counts, refusals: new Map() };
}

/**
 * A piece for each worker, with the numbers that are its own. Odd numbers are of worlds with short chains, so
 * that one that is run again has the world that it had.
 */
async function onStages(
  wanted: Wanted,
  work: (stage: Stage, number: () => number | undefined) => Promise<void>,
): Promise<void> {
  const next = [0, 1];
  let once = wanted.only;
  const one = async (parity: number) => {
    await using stage = await openStage(parity === 1 ? { "chain-length": "4" } : {});
    await work(stage, () => {
      if (wanted.only !== undefined) {
        const only = once;
        once = undefined;
        return only;
      }
      const number = next[parity] ?? parity;
      next[parity] = number + 2;
      return number;
    });
  };
  if (wanted.only !== undefined) {
    return one(wanted.only % 2);
  }
  await Promise.all(Array.from({ length: wanted.workers }, (_, worker) => one(worker % 2)));
}

function add(totals: Totals, wanted: Wanted, result: Result, label: string): void {
  totals.stories += 1;
  totals.interferences += result.interferences;
  for (const refusal of result.refusals) {
    totals.refusals.set(refusal, (totals.refusals.get(refusal) ?? 0) + 1);
  }
  for (const kind of ["lost", "stuck", "unnamed", "unclear"] as const) {
    if (result.faults.some((fault) => fault.kind === kind)) {
      totals[kind] += 1;
    }
  }
  if (result.faults.length > 0 || wanted.only !== undefined) {
    wanted.tell(`${label}\n${wordsOf(result)}`);
  }
}

/** A story for people: what was done, and what was wrong then. */
export function wordsOf({ log, faults }: Result): string {
  const wrong = new Set(faults.map(({ kind, what }) => `${kind.toUpperCase()}: ${what}`));
  return [...log.map((line) => `  ${line}`), ...wrong].join("\n");
}
