import { it } from "mocha";
import type { EngineInfo, Feature } from "../contract.ts";
import type { Fixture } from "./fixture.ts";

/** What the sections share. Both functions are for the bodies of tests: before, nothing is open. */
export interface Kit {
  fixture(): Fixture;
  /** As the engine told it when it was opened. */
  info(): EngineInfo;
  /** Features that are not declared and were seen to work. */
  readonly undeclared: Set<Feature>;
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
    if (kit.info().features.has(name)) return work(kit.fixture());
    // Whoever reads the output must not take this for a proof.
    const { test } = this;
    if (test !== undefined) test.title = `${title} (not declared: ${name})`;
    await work(kit.fixture()).then(
      () => kit.undeclared.add(name),
      () => {},
    );
  });
}
