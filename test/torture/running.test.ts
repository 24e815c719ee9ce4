import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { context } from "../../lib/engine/conformance/fixture.ts";
import type { Boundary } from "./boundaries.ts";
import { type Actors, openActors } from "./process.ts";
import { perform, type Verb } from "./verb.ts";
import { INSTANCE, openWorld, type State, type World } from "./world.ts";

const on = INSTANCE;
const OTHER = "other";
const createdAt = 1_700_000_100_000;
const start = { kind: "start", on } as const;

/** Of each operation every so many steps are tried; 1 tries all, for an hour or two. */
const STRIDE = Number(process.env.TORTURE_RUNNING ?? 41);

/** An operation on a guest that runs, or that comes back where it ran, and what is done before it. */
const SCENARIOS: Readonly<Record<string, { readonly before: readonly Verb[]; readonly verb: Verb }>> = {
  take: { before: [start], verb: { kind: "take", on, name: "new", createdAt, consistency: "crash" } },
  "take that cuts the power": {
    before: [start],
    verb: { kind: "take", on, name: "new", createdAt, consistency: "crash", cut: true },
  },
  "take with memory": {
    before: [start],
    verb: { kind: "take", on, name: "new", createdAt, consistency: "memory" },
  },
  "take of two at one moment": {
    before: [start],
    verb: { kind: "take group", on, others: [OTHER], name: "new", createdAt },
  },
  "delete below": { before: [start], verb: { kind: "delete", on, name: "x" } },
  "delete one with memory": {
    before: [
      start,
      { kind: "take", on, name: "new", createdAt, consistency: "memory" },
      { kind: "stop", on, grace: "force" },
    ],
    verb: { kind: "delete", on, name: "new" },
  },
  "restore with memory": {
    before: [
      start,
      { kind: "take", on, name: "new", createdAt, consistency: "memory" },
      { kind: "stop", on, grace: "force" },
    ],
    verb: { kind: "restore", on, name: "new", memory: true },
  },
  "start where a snapshot was taken": {
    before: [
      start,
      { kind: "take", on, name: "new", createdAt, consistency: "memory" },
      { kind: "stop", on, grace: "force" },
      { kind: "restore", on, name: "new", memory: true },
    ],
    verb: start,
  },
};

/** Guests without a system: they run, and write nothing. */
describe("a guest runs, and whatever dies, everything is as before or as after and can be started", () => {
  let world: World;
  let actors: Actors;
  let died = 0;
  before(async () => {
    world = await openWorld();
    actors = await openActors(world.settings);
  });
  after(async () => {
    await actors[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
    console.log(`${died} deaths while a guest ran`);
  });

  const prepare = async (name: string) => {
    await world.reset();
    const { path, format, sha256 } = world.fixture.image;
    if (name === "take of two at one moment") {
      await perform(world.fixture.engine, { kind: "launch", on: OTHER, image: { path, format, sha256 } });
      await perform(world.fixture.engine, { kind: "start", on: OTHER });
    }
    for (const verb of SCENARIOS[name]?.before ?? []) {
      await perform(world.fixture.engine, verb);
    }
  };

  const killGuest = async () => {
    const pid = await readFile(join(world.daemon.folder, "run", "qemu", `${on}.pid`), "utf8").catch(() => "");
    if (pid !== "") {
      process.kill(Number(pid), "SIGKILL");
    }
  };

  const killDaemon = async () => {
    await world.daemon.signal("SIGKILL");
    await world.daemon.start();
  };

  /** What died, and how that is done at a boundary. */
  const deaths: Readonly<Record<string, (verb: Verb, boundary: Boundary) => Promise<unknown>>> = {
    strata: (verb, { at }) => actors.run(verb, { kind: "kill", at, group: at % 2 === 0 }),
    async libvirtd(verb, { at }) {
      let back: Promise<void> | undefined;
      await actors.run(verb, { kind: "ask", at }, () => (back = killDaemon()));
      // Of calls that are made at once, one may fail before the other has asked.
      await back;
    },
    QEMU: (verb, { at }) => actors.run(verb, { kind: "ask", at }, killGuest),
  };

  /** Nobody is left paused, and what runs is what can be started again. */
  const expectAlive = async () => {
    const { engine } = world.fixture;
    for (const { name, state, resumes } of await engine.instances.list()) {
      if (state !== "running" && state !== "stopped" && resumes === undefined) {
        throw new Error(`${name} is left ${state}`);
      }
      await perform(engine, { kind: "start", on: name });
      const now = await engine.instances.find(name);
      if (now?.state !== "running") {
        throw new Error(`${name} is ${now?.state} after a start`);
      }
      await perform(engine, { kind: "stop", on: name, grace: "force" });
    }
  };

  const expectWell = async (known: readonly State[]) => {
    await world.next();
    const now = await world.observe();
    if (!known.some((state) => isDeepStrictEqual(now, state))) {
      const words = (value: unknown) =>
        JSON.stringify(value, (_, each) => (typeof each === "bigint" ? String(each) : each));
      throw new Error(`neither before nor after:\n${[now, ...known].map(words).join("\n")}`);
    }
    await expectAlive();
    const { maintenance } = world.fixture.engine;
    for (const finding of (await maintenance?.audit()) ?? []) {
      await maintenance?.repair(finding, context());
    }
    const left = (await maintenance?.audit()) ?? [];
    const orphans = await world.orphans();
    if (left.length > 0 || orphans.length > 0) {
      throw new Error(`left over: ${JSON.stringify(left)} ${orphans.join(", ")}`);
    }
  };

  for (const [name, { verb }] of Object.entries(SCENARIOS)) {
    it(name, async () => {
      await prepare(name);
      const before = await world.observe();
      const end = await actors.run(verb, { kind: "look" });
      if (end.kind !== "ended" || end.error !== undefined) {
        throw new Error(`it fails undisturbed: ${JSON.stringify(end)}`);
      }
      const after = await world.observe();
      await expectWell([after]);
      for (const [what, die] of Object.entries(deaths)) {
        const steps = end.boundaries.filter(
          ({ at }) => (at + what.length) % STRIDE === 0 || at === end.boundaries.length,
        );
        for (const boundary of steps) {
          await prepare(name);
          await die(verb, boundary);
          died += 1;
          await expectWell([before, after]).catch((error: unknown) => {
            const { when, what: touch } = boundary;
            throw new Error(`${what} died ${when} ${touch} (${boundary.at})`, { cause: error });
          });
        }
      }
    });
  }
});
