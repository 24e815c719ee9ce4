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
  const totals: Totals = {
    interferences: 0,
    stories: 0,
    lost: 0,
    stuck: 0,
    unnamed: 0,
    unclear: 0,
    refusals: new Map(),
  };
  const workers = wanted.only === undefined ? wanted.workers : 1;
  let next = wanted.only ?? 0;
  const work = async (short: boolean) => {
    await using stage = await openStage(short ? { "chain-length": "4" } : {});
    while (totals.interferences < wanted.interferences) {
      const number = next;
      next += 1;
      await add(totals, wanted, stage, number);
      if (wanted.only !== undefined) return;
    }
  };
  await Promise.all(
    Array.from({ length: workers }, (_, worker) =>
      work(wanted.only === undefined ? worker % 2 === 1 : wanted.only % 2 === 1),
    ),
  );
  return totals;
}

async function add(totals: Totals, wanted: Wanted, stage: Stage, number: number): Promise<void> {
  const result = await anyStory(stage, wanted.seed, number);
  totals.stories += 1;
  totals.interferences += result.interferences;
  for (const refusal of result.refusals)
    totals.refusals.set(refusal, (totals.refusals.get(refusal) ?? 0) + 1);
  for (const kind of ["lost", "stuck", "unnamed", "unclear"] as const)
    if (result.faults.some((fault) => fault.kind === kind)) totals[kind] += 1;
  if (result.faults.length > 0 || wanted.only !== undefined)
    wanted.tell(`hands, seed ${wanted.seed}, --only ${number}\n${wordsOf(result)}`);
}

/** A story for people: what was done, and what was wrong then. */
export function wordsOf({ log, faults }: Result): string {
  const wrong = new Set(faults.map(({ kind, what }) => `${kind.toUpperCase()}: ${what}`));
  return [...log.map((line) => `  ${line}`), ...wrong].join("\n");
}
