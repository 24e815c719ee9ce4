import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { execa } from "execa";
import { context } from "../../lib/engine/conformance/fixture.ts";
import { isStrataError } from "../../lib/errors.ts";
import type { CrowdTask } from "./crowd.ts";
import { bundle } from "./process.ts";
import { perform, specOf } from "./verb.ts";
import { INSTANCE, openWorld, type World } from "./world.ts";

const CROWD = fileURLToPath(new URL("crowd.ts", import.meta.url));
const STRATA = fileURLToPath(new URL("../../dist/bin/strata.js", import.meta.url));
/** A hundred clients at once, and readers beside them; a quarter of that is what every `make test` takes. */
const FULL = process.env.TORTURE_CROWD === "full";
const PROCESSES = 4;
const CLIENTS = FULL ? 25 : 7;
const READS = FULL ? 60 : 40;
/** An ordinary user, who may see instances and use none. */
const ANYBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
const READERS = [
  { clients: 4, as: [] },
  { clients: 2, as: ANYBODY },
];

/** What a client may come to: it was done, or it was told why not. */
const FAIR = ["done", "BUSY", "SNAPSHOT_EXISTS", "SNAPSHOT_NOT_FOUND"];

const unfair = (totals: Readonly<Record<string, number>>) =>
  Object.keys(totals).filter((code) => !FAIR.includes(code));

describe(`${PROCESSES * CLIENTS} clients at once`, () => {
  let world: World;
  let journal: string;
  let program: string;
  before(async () => {
    world = await openWorld();
    program = await bundle(CROWD);
    journal = join(world.daemon.folder, "journal");
  });
  after(async () => {
    await rm(program, { force: true });
    await world[Symbol.asyncDispose]();
  });

  async function crowd(names: readonly string[], rounds: number): Promise<Record<string, number>> {
    await rm(journal, { force: true });
    const { settings } = world;
    const begin = (
      task: Pick<CrowdTask, "clients" | "rounds" | "seed" | "readers">,
      prefix: string[] = [],
    ) => {
      const whole: CrowdTask = { ...task, settings, names, journal };
      const [command = "", ...args] = [...prefix, process.execPath, program, JSON.stringify(whole)];
      const stdio: ["ignore", "ignore", "inherit", "ipc"] = ["ignore", "ignore", "inherit", "ipc"];
      return spawn(command, args, { stdio });
    };
    const processes = [
      ...Array.from({ length: PROCESSES }, (_, at) =>
        begin({ clients: CLIENTS, rounds, seed: at + 1, readers: 0.1 }),
      ),
      ...READERS.map(({ clients, as }, at) =>
        begin({ clients, rounds: READS, seed: 100 + at, readers: 1 }, as),
      ),
    ];
    const told = await Promise.all(
      processes.map((each) =>
        Promise.race([once(each, "message"), once(each, "exit").then(() => [{ died: 1 }])]),
      ),
    );
    const totals: Record<string, number> = {};
    for (const [outcomes] of told as Record<string, number>[][]) {
      for (const [code, count] of Object.entries(outcomes ?? {})) {
        totals[code] = (totals[code] ?? 0) + count;
      }
    }
    return totals;
  }

  /** Between the begin and the end of a lock, no other process works on that instance. */
  async function expectNothingInterleaved(): Promise<void> {
    const at = new Map<string, string>();
    for (const line of (await readFile(journal, "utf8")).trim().split("\n")) {
      const [what = "", name = "", id = ""] = line.split(" ");
      if (what === "begin") {
        expect(at.get(name), `${line}: somebody else is at work`).to.equal(undefined);
        at.set(name, id);
      } else {
        expect(at.get(name), line).to.equal(id);
        at.delete(name);
      }
    }
    expect([...at], "all have ended").to.deep.equal([]);
  }

  async function expectAllWell(): Promise<void> {
    await world.next();
    await world.observe();
    expect(await world.fixture.engine.maintenance?.audit()).to.deep.equal([]);
  }

  it("on one instance: one after the other, and everybody is told something fair", async () => {
    const totals = await crowd([INSTANCE], 2);
    expect(unfair(totals)).to.deep.equal([]);
    const reads = READERS.reduce((sum, { clients }) => sum + clients * READS, 0);
    expect(totals.done).to.be.greaterThan(reads + PROCESSES * CLIENTS * 0.5);
    await expectNothingInterleaved();
    await expectAllWell();
  });

  it("on twenty instances", async () => {
    const names = Array.from({ length: 20 }, (_, at) => `many${at}x`);
    for (const name of names) {
      await world.fixture.engine.instances.create(specOf(name, world.fixture.image), context());
      await perform(world.fixture.engine, { kind: "take", on: name, name: "s0", createdAt: 1 });
    }
    const totals = await crowd(names, 3);
    expect(unfair(totals)).to.deep.equal([]);
    await expectNothingInterleaved();
    await expectAllWell();
    for (const name of names) {
      await perform(world.fixture.engine, { kind: "purge", on: name });
    }
  });

  it("another user sees the instances, and is refused what would need their files", async () => {
    const env = {
      STRATA_LIBVIRT_URI: world.daemon.uri,
      HOME: "/nonexistent",
      XDG_STATE_HOME: "/tmp",
      XDG_CONFIG_HOME: "/tmp",
    };
    const run = (...args: string[]) =>
      execa("setpriv", [...ANYBODY.slice(1), process.execPath, STRATA, ...args], { reject: false, env });
    expect((await run("list")).stdout).to.contain(INSTANCE);
    const refused = await run("snapshot", INSTANCE);
    expect(refused.stderr).to.contain("permission denied");
    expect(refused.exitCode).to.equal(8);
  });

  it("a taken name is taken once", async () => {
    const { instances } = world.fixture.engine;
    const spec = () => specOf("wanted", world.fixture.image);
    const outcomes = await Promise.all(
      Array.from({ length: 5 }, () =>
        instances.create(spec(), context()).then(
          () => "done",
          (error: unknown) => (isStrataError(error) ? error.code : String(error)),
        ),
      ),
    );
    expect(outcomes.filter((code) => code === "done")).to.have.length(1);
    expect(outcomes.filter((code) => code !== "done" && code !== "INSTANCE_EXISTS")).to.deep.equal([]);
    await perform(world.fixture.engine, { kind: "purge", on: "wanted" });
    await expectAllWell();
  });
});
