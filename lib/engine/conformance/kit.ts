import { it } from "mocha";
import type { EngineInfo, Feature } from "../contract.ts";
import type { Fixture } from "./fixture.ts";
import { type Guest, guestOf } from "./guest.ts";

/** What the sections share. Its functions are for the bodies of tests: before, nothing is open. */
export interface Kit {
  fixture(): Fixture;
  /** As the engine told it when it was opened. */
  info(): EngineInfo;
  /** The one running guest; it is launched when the first test needs it. */
  guest(): Promise<Guest>;
  /** Features that are not declared: whether every test of them passed. */
  readonly undeclared: Map<Feature, boolean>;
}

/**
 * A test of an optional feature. Where the feature is declared it must pass. Elsewhere it is tried all
 * the same: the engine may refuse it, and what works is reported at the end.
 */
export function feature(
  kit: Kit,
  name: Feature,
  title: string,
  work: (fixture: Fixture) => Promise<void>,
): void {
  it(title, async function () {
    if (kit.info().features.has(name)) {
      return work(kit.fixture());
    }
    // Whoever reads the output must not take this for a proof.
    rename(this.test, `${title} (not declared: ${name})`);
    const works = await work(kit.fixture()).then(
      () => true,
      () => false,
    );
    kit.undeclared.set(name, works && kit.undeclared.get(name) !== false);
  });
}

/** A test inside of a guest. Where the fixture has none to log in to, the title says that nothing was tried. */
export function inGuest(kit: Kit, title: string, work: (guest: Guest) => Promise<void>): void {
  it(title, async function () {
    if (guestOf(kit.fixture()) === undefined) {
      return rename(this.test, `${title} (not tried: the fixture has no guest)`);
    }
    await work(await kit.guest());
  });
}

/** Says in the output what a test was in fact. */
export function rename(test: Mocha.Runnable | undefined, title: string): void {
  if (test !== undefined) {
    test.title = title;
  }
}
