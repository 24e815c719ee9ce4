import type { Feature } from "../contract.ts";

/** Thrown by a test of what the plugin does not declare. */
export class NotDeclared extends Error {
  readonly what: string;

  constructor(what: string) {
    super(`not declared: ${what}`);
    this.what = what;
  }
}

/** Thrown by a test that cannot be tried. */
export class NotTried extends Error {
  readonly what: string;

  constructor(what: string) {
    super(`not tried: ${what}`);
    this.what = what;
  }
}

/** What became of the tests. What was skipped proves nothing, so it is counted apart and by its reason. */
export class Tally {
  passed = 0;
  failed = 0;
  readonly notDeclared = new Map<string, number>();
  readonly notTried = new Map<string, number>();
  /** Features that are not declared: whether every test of them passed all the same. */
  readonly undeclared = new Map<Feature, boolean>();

  /** Counts a test that threw; resolves to the reason of a skip, or undefined for a failure. */
  add(error: unknown): string | undefined {
    if (error instanceof NotDeclared || error instanceof NotTried) {
      const counts = error instanceof NotDeclared ? this.notDeclared : this.notTried;
      counts.set(error.what, (counts.get(error.what) ?? 0) + 1);
      return error.message;
    }
    this.failed += 1;
    return undefined;
  }

  /** The lines for the end of the output. */
  lines(): string[] {
    const counts = [
      `${this.passed} passed`,
      ...(this.failed === 0 ? [] : [`${this.failed} failed`]),
      `${sum(this.notDeclared)} not declared`,
      `${sum(this.notTried)} not tried`,
    ];
    const working = [...this.undeclared].filter(([, works]) => works);
    return [
      counts.join(", "),
      ...reasons("not declared", this.notDeclared),
      ...reasons("not tried", this.notTried),
      ...working.map(([name]) => `  "${name}" works and is not declared; declare it, or refuse it`),
    ];
  }
}

function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((all, count) => all + count, 0);
}

function reasons(kind: string, counts: ReadonlyMap<string, number>): string[] {
  return [...counts].map(([reason, count]) => `  ${kind}: ${reason} (${count})`);
}
