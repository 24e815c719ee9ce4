/** One line of a result: what was measured, and beside what. */
export interface Figure {
  readonly subject: string;
  readonly what: string;
  readonly ours: number;
  /** "ms" where nothing else is said. */
  readonly unit?: string;
  /** What stands in the other column. */
  readonly peer: string;
  readonly theirs: number;
}

/** What a bench is told: a short run has fewer rounds and smaller sizes. */
export interface Scope {
  readonly short: boolean;
  readonly rounds: number;
}

export type Bench = (scope: Scope) => Promise<Figure[]>;

/** Milliseconds that a piece of work takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

/** What is left of a piece when nothing else runs: on a shared machine others only ever add. */
export function least(values: readonly number[]): number {
  return Math.min(...values);
}

/** What is measured, and what comes before it each time and is not. */
export interface Piece {
  before?(): Promise<unknown>;
  work(round: number): Promise<unknown>;
}

/** The least times of several pieces that are run by turns, so that whatever else the machine does hits all alike. */
export async function byTurns(rounds: number, ...pieces: readonly Piece[]): Promise<number[]> {
  const times = pieces.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [at, { before, work }] of pieces.entries()) {
      await before?.();
      times[at]?.push(await timed(() => work(round)));
    }
  }
  return times.map(least);
}

/** Measures a piece of ours and a peer's by turns. */
export async function sideBySide(
  { rounds }: Scope,
  { subject, what, peer }: { readonly subject: string; readonly what: string; readonly peer: string },
  ours: (round: number) => Promise<unknown>,
  theirs: (round: number) => Promise<unknown>,
): Promise<Figure> {
  const [mine = Number.NaN, other = Number.NaN] = await byTurns(rounds, { work: ours }, { work: theirs });
  return { subject, what, ours: mine, peer, theirs: other };
}

/** Figures as a table with ratios: below 1, ours is less. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map(({ what, ours, unit = "ms", peer, theirs }) => [
    what,
    `${ours.toFixed(1)} ${unit}`,
    peer,
    `${theirs.toFixed(1)} ${unit}`,
    (ours / theirs).toFixed(2),
  ]);
  const lines = [["", "strata", "beside", "", "ratio"], ...rows];
  const widths = [0, 1, 2, 3, 4].map((at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  const numbers = new Set([1, 3, 4]);
  return lines
    .map((line) =>
      line
        .map((cell, at) => (numbers.has(at) ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
