import { after, before, describe } from "mocha";
import type { Engine, EngineInfo, Log } from "../contract.ts";
import { guardEngine } from "../guard.ts";
import { adoptionTests } from "./adoption.ts";
import { autostartTests } from "./autostart.ts";
import { cancellationTests } from "./cancellation.ts";
import { cloneTests } from "./clone.ts";
import { clusterTests } from "./cluster.ts";
import { consoleTests } from "./console.ts";
import { diskTests } from "./disks.ts";
import { driveTests } from "./drives.ts";
import { eventTests } from "./events.ts";
import { execTests } from "./exec.ts";
import { faultTests } from "./faults.ts";
import { featureTests } from "./features.ts";
import { firmwareTests } from "./firmware.ts";
import type { Fixture } from "./fixture.ts";
import { groupTests } from "./groups.ts";
import { type Guest, guestOf, launchGuest } from "./guest.ts";
import { type Kit, type PluginUnderTest, register } from "./kit.ts";
import { lifecycleTests } from "./lifecycle.ts";
import { lockTests } from "./locks.ts";
import { mountTests } from "./mounts.ts";
import { networkTests } from "./networks.ts";
import { loadPlugin, pluginTests } from "./plugin.ts";
import { processTests } from "./processes.ts";
import { randomTrees } from "./random-tree.ts";
import { recordTests } from "./records.ts";
import { renameTests } from "./rename.ts";
import { resourceTests } from "./resources.ts";
import { snapshotTests } from "./snapshots.ts";
import { memorySnapshotTests } from "./snapshots-memory.ts";
import { runningSnapshotTests } from "./snapshots-running.ts";
import { suspendTests } from "./suspend.ts";
import { NotTried, Tally } from "./tally.ts";
import { transferTests } from "./transfer.ts";

export type { Fixture, InjectedFault } from "./fixture.ts";
export type { GuestFixture } from "./guest.ts";
export { randomTrees } from "./random-tree.ts";

export interface ConformanceOptions {
  /** Random sequences to run, and steps in each. */
  readonly runs: number;
  readonly steps: number;
  /** Runs the sequences of an earlier run again: the seed that its failure has told. */
  readonly seed?: number;
}

/** How long a test may take at least, ms. */
const TEST_TIMEOUT_MS = 120_000;

/** A file each, a noun each. */
const sections: Readonly<Record<string, (kit: Kit) => void>> = {
  plugin: pluginTests,
  itself: featureTests,
  instances: lifecycleTests,
  records: recordTests,
  locks: lockTests,
  processes: processTests,
  resources: resourceTests,
  snapshots: snapshotTests,
  "snapshots of running instances": runningSnapshotTests,
  "snapshots with memory": memorySnapshotTests,
  "groups of snapshots": groupTests,
  "further disks": diskTests,
  firmware: firmwareTests,
  drives: driveTests,
  mounts: mountTests,
  suspend: suspendTests,
  clones: cloneTests,
  "renamed instances": renameTests,
  autostart: autostartTests,
  exec: execTests,
  transfer: transferTests,
  networks: networkTests,
  console: consoleTests,
  events: eventTests,
  adoption: adoptionTests,
  cluster: clusterTests,
  cancellation: cancellationTests,
  faults: faultTests,
};

/**
 * The mocha suite that every engine must pass. A feature that is declared must work. What is not declared or cannot be
 * tried is skipped, and counted at the end by its reason. Optional groups are there exactly when declared.
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
    let plugin: PluginUnderTest | undefined;
    let guest: Promise<Guest> | undefined;
    let lost = false;
    const further: Engine[] = [];
    const opened = <T>(value: T | undefined): T => {
      if (value === undefined) {
        throw new Error("the engine is not open yet");
      }
      return value;
    };
    const kit: Kit = {
      fixture: () => opened(fixture),
      info: () => opened(info),
      plugin: () => opened(plugin),
      async open() {
        const { options, open } = opened(fixture);
        const other = await (open?.() ??
          (options && opened(plugin).plugin.open({ ...options, log: silent })));
        if (other === undefined) {
          throw new NotTried("the fixture opens no second engine");
        }
        further.push(other);
        return asCoreSees(other, opened(plugin));
      },
      async guest() {
        if (lost) {
          throw new NotTried("there is no guest, see the first failure");
        }
        guest ??= launchGuest(opened(fixture), opened(guestOf(opened(fixture))));
        return guest.catch((error: unknown) => {
          lost = true;
          throw error;
        });
      },
      tally: new Tally(),
      it: (title, work) => register(kit, title, work),
    };
    before(async () => {
      const given = await factory();
      plugin = await loadPlugin(name, given.plugin);
      fixture = Object.create(given, {
        engine: { value: asCoreSees(given.engine, plugin), enumerable: true },
      }) as Fixture;
      info = await fixture.engine.info();
    });
    after(async () => {
      await (await guest?.catch(() => undefined))?.[Symbol.asyncDispose]();
      for (const each of further) {
        await each[Symbol.asyncDispose]();
      }
      await fixture?.[Symbol.asyncDispose]();
      console.log(`engine ${name}: ${kit.tally.lines().join("\n")}`);
    });
    for (const [title, section] of Object.entries(sections)) {
      describe(title, () => section(kit));
    }
    describe("snapshot trees", () => {
      kit.it(
        `hold what a plain model holds, over ${options.runs} sequences of ${options.steps} steps`,
        (each) => randomTrees(each, options),
      );
    });
  });
}

/** The core has a guard around the engines of packages, whose errors become those of the table. */
function asCoreSees(engine: Engine, { plugin, manifest }: PluginUnderTest): Engine {
  return manifest === undefined ? engine : guardEngine(plugin.name, engine);
}

const silent: Log = { error() {}, warn() {}, info() {}, debug() {} };
