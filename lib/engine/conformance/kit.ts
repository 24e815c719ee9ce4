import { it } from "mocha";
import type { Engine, EngineInfo, EnginePlugin, Feature } from "../contract.ts";
import type { Manifest } from "../manifest.ts";
import type { Fixture } from "./fixture.ts";
import { type Guest, guestOf } from "./guest.ts";
import { NotDeclared, NotTried, type Tally } from "./tally.ts";
import { hear } from "./terminal.ts";

/** What the sections share. Its functions are for the bodies of tests: before, nothing is open. */
export interface Kit {
  fixture(): Fixture;
  /** As the engine told it when it was opened. */
  info(): EngineInfo;
  plugin(): PluginUnderTest;
  /** Opens a second engine on the state of the fixture's. The test is not tried where there can be none. */
  open(): Promise<Engine>;
  /** The one running guest; it is launched when the first test needs it. */
  guest(): Promise<Guest>;
  readonly tally: Tally;
  /** A test: it fails, too, if anything is written to the terminal meanwhile. */
  it(title: string, work: (fixture: Fixture) => Promise<void>): void;
}

/** The plugin itself, as its module exports it. */
export interface PluginUnderTest {
  readonly plugin: EnginePlugin;
  /** Absolute path of the module. */
  readonly module: string;
  /** Absent for an engine that ships with strata. */
  readonly manifest?: Manifest;
}

/** Registers a test, and counts what became of it. */
export function register(kit: Kit, title: string, work: (fixture: Fixture) => Promise<void>): void {
  it(title, async function () {
    try {
      const written = await hear(() => work(kit.fixture()));
      if (written !== "") {
        throw new Error(`it wrote to the terminal: ${JSON.stringify(written)}`);
      }
      kit.tally.passed += 1;
    } catch (error) {
      const reason = kit.tally.add(error);
      if (reason === undefined) {
        throw error;
      }
      // Whoever reads the output must not take this for a proof.
      if (this.test !== undefined) {
        this.test.title = `${title} (${reason})`;
      }
      this.skip();
    }
  });
}

/**
 * A test of an optional feature, which must pass where the feature is declared. Elsewhere it is skipped; it is tried
 * all the same, and what works is reported at the end.
 */
export function feature(
  kit: Kit,
  name: Feature,
  title: string,
  work: (fixture: Fixture) => Promise<void>,
): void {
  kit.it(title, async (fixture) => {
    if (kit.info().features.has(name)) {
      return work(fixture);
    }
    const works = await work(fixture).then(
      () => true,
      () => false,
    );
    kit.tally.undeclared.set(name, works && kit.tally.undeclared.get(name) !== false);
    throw new NotDeclared(name);
  });
}

/** A test inside of a guest. It is not tried where the fixture has none to log in to. */
export function inGuest(kit: Kit, title: string, work: (guest: Guest) => Promise<void>): void {
  kit.it(title, async (fixture) => {
    if (guestOf(fixture) === undefined) {
      throw new NotTried("the fixture has no guest");
    }
    await work(await kit.guest());
  });
}
