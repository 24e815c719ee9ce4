import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { execa } from "execa";
import { context } from "../../lib/backend/conformance/fixture.ts";
import { isStrataError } from "../../lib/errors.ts";
import type { CrowdTask } from "./crowd.ts";
import { perform, specOf } from "./verb.ts";
import { INSTANCE, openWorld, type World } from "./world.ts";

const CROWD = fileURLToPath(new URL("crowd.ts", import.meta.url));
const PROGRAM = fileURLToPath(new URL("../../dist/bin/strata.js", import.meta.url));
const PROCESSES = 4;
const CLIENTS = 25;

/** What a client may come to: it was done, or it was told why not. */
const FAIR = ["done", "BUSY", "SNAPSHOT_EXISTS", "SNAPSHOT_NOT_FOUND"];

const unfair = (totals: Readonly<Record<string, number>>) =>
  Object.keys(totals).filter((code) => !FAIR.includes(code));

describe("a hundred clients at once", () => {
  let world: World;
  let journal: string;
  before(async () => {
    world = await openWorld();
    journal = join(world.daemon.folder, "journal");
  });
  after(() => world[Symbol.asyncDispose]());

  async function crowd(names: readonly string[], rounds: number): Promise<Record<string, number>> {
    await rm(journal, { force: true });
    const processes = Array.from({ length: PROCESSES }, (_, at) => {
      const { settings } = world;
      const task: CrowdTask = { settings, clients: CLIENTS, rounds, names, seed: at + 1, journal };
      const options = {
        stdio: ["ignore", "ignore", "inherit", "ipc"] as ["ignore", "ignore", "inherit", "ipc"],
      };
      return spawn(process.execPath, ["--import", "tsx", CROWD, JSON.stringify(task)], options);
    });
    const told = await Promise.all(
      processes.map((each) =>
        Promise.race([once(each, "message"), once(each, "exit").then(() => [{ died: 1 }])]),
      ),
    );
    const totals: Record<string, number> = {};
    for (const [outcomes] of told as Record<string, number>[][])
      for (const [code, count] of Object.entries(outcomes ?? {})) totals[code] = (totals[code] ?? 0) + count;
    return totals;
  }

  /** Between the begin and the end of a hold, there is nobody else on that instance. */
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
    expect(await world.fixture.backend.maintenance?.audit()).to.deep.equal([]);
  }

  it("on one instance: one after the other, and everybody is told something fair", async () => {
    const totals = await crowd([INSTANCE], 2);
    expect(unfair(totals)).to.deep.equal([]);
    expect(totals.done).to.be.greaterThan(PROCESSES * CLIENTS * 0.5);
    await expectNothingInterleaved();
    await expectAllWell();
  });

  it("on twenty instances", async () => {
    const names = Array.from({ length: 20 }, (_, at) => `many${at}x`);
    for (const name of names) {
      await world.fixture.backend.instances.create(specOf(name, world.fixture.image), context());
      await perform(world.fixture.backend, { kind: "take", on: name, name: "s0", createdAt: 1 });
    }
    const totals = await crowd(names, 3);
    expect(unfair(totals)).to.deep.equal([]);
    await expectNothingInterleaved();
    await expectAllWell();
    for (const name of names) await perform(world.fixture.backend, { kind: "purge", on: name });
  });

  it("another user sees the instances, and is refused what would need their files", async () => {
    const uid = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    const env = {
      STRATA_LIBVIRT_URI: world.daemon.uri,
      HOME: "/nonexistent",
      XDG_STATE_HOME: "/tmp",
      XDG_CONFIG_HOME: "/tmp",
    };
    const run = (...args: string[]) =>
      execa("setpriv", [...uid, process.execPath, PROGRAM, ...args], { reject: false, env });
    expect((await run("list")).stdout).to.contain(INSTANCE);
    const refused = await run("snapshot", INSTANCE);
    expect(refused.stderr).to.contain("permission denied");
    expect(refused.exitCode).to.equal(8);
  });

  it("a taken name is taken once", async () => {
    const { instances } = world.fixture.backend;
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
    await perform(world.fixture.backend, { kind: "purge", on: "wanted" });
    await expectAllWell();
  });
});
