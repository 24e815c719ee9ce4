import { after, before, describe, it } from "mocha";
import type { EngineInfo } from "../contract.ts";
import { adoptionTests } from "./adoption.ts";
import { cancellationTests } from "./cancellation.ts";
import { cloneTests } from "./clone.ts";
import { clusterTests } from "./cluster.ts";
import { eventTests } from "./events.ts";
import { execTests } from "./exec.ts";
import { faultTests } from "./faults.ts";
import { featureTests } from "./features.ts";
import type { Fixture } from "./fixture.ts";
import { type Guest, guestOf, launchGuest } from "./guest.ts";
import type { Kit } from "./kit.ts";
import { lifecycleTests } from "./lifecycle.ts";
import { lockTests } from "./locks.ts";
import { mountTests } from "./mounts.ts";
import { networkTests } from "./networks.ts";
import { randomTrees } from "./random-tree.ts";
import { resourceTests } from "./resources.ts";
import { snapshotTests } from "./snapshots.ts";
import { suspendTests } from "./suspend.ts";
import { transferTests } from "./transfer.ts";

export type { Fixture, InjectedFault } from "./fixture.ts";
export type { GuestFixture } from "./guest.ts";
export { randomTrees } from "./random-tree.ts";

export interface ConformanceOptions {
  /** Random sequences to run, and steps in each. */
  readonly runs: number;
  readonly steps: number;
}

/** How long a test may take at least, ms. */
const TEST_TIMEOUT_MS = 120_000;

/** A file each, a noun each. */
const sections: Readonly<Record<string, (kit: Kit) => void>> = {
  itself: featureTests,
  instances: lifecycleTests,
  locks: lockTests,
  resources: resourceTests,
  snapshots: snapshotTests,
  mounts: mountTests,
  suspend: suspendTests,
  clones: cloneTests,
  exec: execTests,
  transfer: transferTests,
  networks: networkTests,
  events: eventTests,
  adoption: adoptionTests,
  cluster: clusterTests,
  cancellation: cancellationTests,
  faults: faultTests,
};

/**
 * The mocha suite that every engine must pass. A feature that is declared must work; one that is not is
 * tried, and reported at the end if it works. Optional groups are there exactly when declared.
 */
export function conformance(
  name: string,
  factory: () => Promise<Fixture>,
  options: ConformanceOptions = { runs: 25, steps: 30 },
): void {
  describe(`engine ${name}`, function () {
    // mocha's own two seconds are for units. Whoever asked for more, or for no limit, has it.
    if (this.timeout() !== 0) {
      this.timeout(Math.max(this.timeout(), TEST_TIMEOUT_MS));
    }
    let fixture: Fixture | undefined;
    let info: EngineInfo | undefined;
    const opened = <T>(value: T | undefined): T => {
      if (value === undefined) {
        throw new Error("the engine is not open yet");
      }
      return value;
    };
    let guest: Promise<Guest> | undefined;
    const kit: Kit = {
      fixture: () => opened(fixture),
      info: () => opened(info),
      guest() {
        guest ??= launchGuest(opened(fixture), opened(guestOf(opened(fixture))));
        return guest;
      },
      undeclared: new Map(),
    };
    before(async () => {
      fixture = await factory();
      info = await fixture.engine.info();
    });
    after(async () => {
      await (await guest?.catch(() => undefined))?.[Symbol.asyncDispose]();
      await fixture?.[Symbol.asyncDispose]();
      for (const [each, works] of kit.undeclared) {
        if (works) {
          console.log(`engine ${name}: "${each}" works and is not declared; declare it, or refuse it`);
        }
      }
    });
    for (const [title, section] of Object.entries(sections)) {
      describe(title, () => section(kit));
    }
    describe("snapshot trees", () => {
      it(`hold what a plain model holds, over ${options.runs} sequences of ${options.steps} steps`, () =>
        randomTrees(kit.fixture(), options));
    });
  });
}
