import { isDeepStrictEqual } from "node:util";
import { context } from "../../lib/engine/conformance/fixture.ts";
import type { Boundary, Verdict } from "./boundaries.ts";
import { type Actors, type End, openActors } from "./process.ts";
import type { Image, Verb } from "./verb.ts";
import { INSTANCE, openWorld, type State, type World } from "./world.ts";

/** An operation with what it does when nobody disturbs it. */
export interface Scenario {
  readonly name: string;
  readonly verb: Verb;
  readonly before: State;
  readonly after: State;
  readonly boundaries: readonly Boundary[];
  /** ms. */
  readonly took: number;
}

/** All operations, each on the same instance. */
export function verbs(image: Image, disks = 1): Readonly<Record<string, Verb>> {
  const on = INSTANCE;
  return {
    ...(disks > 1 ? diskVerbs(image, disks) : {}),
    take: { kind: "take", on, name: "new", createdAt: 1_700_000_100_000 },
    "restore, elsewhere": { kind: "restore", on, name: "c" },
    "restore, same place": { kind: "restore", on, name: "m2" },
    "delete a leaf": { kind: "delete", on, name: "c" },
    "delete in the middle, merging": { kind: "delete", on, name: "b" },
    "delete a branch point": { kind: "delete", on, name: "a" },
    "delete above a hidden layer": { kind: "delete", on, name: "x" },
    "delete a leaf on a hidden layer": { kind: "delete", on, name: "m1" },
    "delete under the head": { kind: "delete", on, name: "m2" },
    rename: { kind: "rename", on, name: "x", to: "renamed" },
    comment: { kind: "comment", on, name: "b", text: "a\u0007 comment" },
    resize: { kind: "resize", on, cpus: 3, mebibytes: 12 },
    "delete softly": { kind: "mark", on },
    optimize: { kind: "optimize", on },
    clone: { kind: "clone", on, name: "copy" },
    purge: { kind: "purge", on },
    launch: { kind: "launch", on: "second", image },
  };
}

/** What is there for an instance with several disks; no snapshot has the last one, vde. */
function diskVerbs(image: Image, disks: number): Readonly<Record<string, Verb>> {
  const on = INSTANCE;
  return {
    "add a disk": { kind: "add disk", on, mebibytes: 5 },
    "remove a disk": { kind: "remove disk", on, disk: "vde" },
    "exclude a disk": { kind: "exclude disk", on, disk: "vdc" },
    "grow a disk": { kind: "grow disk", on, disk: "vdd", mebibytes: 12 },
    "launch with disks": { kind: "launch", on: "third", image, further: disks - 1 },
  };
}

/** What an adopted instance without snapshots can meet beside. */
const RELEASE: Readonly<Record<string, Verb>> = {
  release: { kind: "release", on: INSTANCE },
  purge: { kind: "purge", on: INSTANCE },
  "take the first": { kind: "take", on: INSTANCE, name: "new", createdAt: 1_700_000_100_000 },
};

/** How a trial disturbs. Boundaries are counted from 1. */
export type Disturbance =
  | { readonly kind: "kill"; readonly at: number; readonly group: boolean }
  /** ms after the operation has begun, wherever it is then. */
  | { readonly kind: "kill after"; readonly delay: number; readonly group: boolean }
  /** One touch fails, or with `on` all from there. */
  | { readonly kind: "fail"; readonly at: number; readonly with: Verdict; readonly on?: boolean }
  /** libvirtd is killed there and started again. */
  | { readonly kind: "daemon"; readonly at: number }
  /** Something else happens there, of which the operation may end with one of these codes. */
  | {
      readonly kind: "meanwhile";
      readonly at: number;
      readonly errors: readonly string[];
      happens(): Promise<void> | void;
    }
  /** The file system has no room from there on. */
  | { readonly kind: "fill"; readonly at: number };

export interface Trial {
  readonly scenario: Scenario;
  readonly disturbance: Disturbance;
}

export interface Torture extends AsyncDisposable {
  readonly world: World;
  readonly actors: Actors;
  readonly scenarios: readonly Scenario[];
}

/** Opens a world and learns from undisturbed runs what each operation does. */
export async function openTorture(
  o: NonNullable<Parameters<typeof openWorld>[0]> & { readonly only?: readonly string[] } = {},
): Promise<Torture> {
  const world = await openWorld(o);
  const actors = await openActors(world.settings);
  const before = await world.observe();
  const { path, format, sha256 } = world.fixture.image;
  const scenarios: Scenario[] = [];
  const all =
    o.adopted === "bare" ? RELEASE : verbs({ path, format, sha256 }, o.adopted === undefined ? o.disks : 3);
  for (const [name, verb] of Object.entries(all)) {
    if (o.only?.includes(name) === false) {
      continue;
    }
    const end = await actors.run(verb, { kind: "look" });
    if (end.kind !== "ended" || end.error !== undefined) {
      throw new Error(`${name} fails undisturbed: ${JSON.stringify(end)}`);
    }
    const after = await world.observe();
    keepsOthers(name, verb, before, after);
    const wrong = await world.fixture.engine.maintenance?.audit();
    if (wrong?.length !== 0) {
      throw new Error(`after ${name}, doctor finds ${JSON.stringify(wrong)}`);
    }
    await cleanly(world, name);
    scenarios.push({ name, verb, before, after, boundaries: end.boundaries, took: end.took });
    await world.reset();
  }
  return {
    world,
    actors,
    scenarios,
    async [Symbol.asyncDispose]() {
      await actors[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

/** What an operation is not about must be there after it as it was before. */
function keepsOthers(name: string, verb: Verb, before: State, after: State): void {
  const contents = (state: State) =>
    new Map(
      state
        .flatMap(({ snapshots }) => snapshots as readonly { name: string; contents: string }[])
        .map((snapshot) => [snapshot.name, snapshot.contents]),
    );
  if (verb.kind === "purge" || verb.kind === "release") {
    return;
  }
  const now = contents(after);
  for (const [snapshot, was] of contents(before)) {
    const gone = verb.kind === "delete" && verb.name === snapshot;
    const called = verb.kind === "rename" && verb.name === snapshot ? verb.to : snapshot;
    if (gone === now.has(called) || (!gone && now.get(called) !== was)) {
      throw new Error(`${name} changes ${snapshot}`);
    }
  }
}

async function cleanly(world: World, name: string): Promise<void> {
  const orphans = await world.orphans();
  if (orphans.length > 0) {
    throw new Error(`${name} leaves ${orphans.join(", ")}`);
  }
}

/**
 * Disturbs an operation, has the next command come by, and looks: everything is as before the operation
 * or as after it. Resolves to false where the operation ended before it could be disturbed.
 */
export async function disturb(
  { world, actors }: Pick<Torture, "world" | "actors">,
  { scenario, disturbance }: Trial,
): Promise<boolean> {
  const end = await run(world, actors, scenario.verb, disturbance);
  const failed = end.kind === "killed" || end.error !== undefined;
  if (end.kind === "ended" && end.error !== undefined && isUnclear(end.error.code, disturbance)) {
    throw new Error(`an unclear error: ${end.error.code}: ${end.error.message}`);
  }
  await world.next();
  const now = await world.observe();
  if (!failed && !isDeepStrictEqual(now, scenario.after)) {
    throw new Error(`it succeeded, and what is there is something else:\n${words(now)}`);
  }
  await repaired(world);
  const undone = isDeepStrictEqual(now, scenario.before);
  if (!undone && !isDeepStrictEqual(now, scenario.after)) {
    const [before, after] = [scenario.before, scenario.after].map(words);
    throw new Error(`neither before nor after:\n${words(now)}\n${before}\n${after}`);
  }
  if (!undone) {
    await world.reset();
  }
  return end.kind === "killed" || (disturbance.kind !== "kill" && disturbance.kind !== "kill after");
}

function words(state: State): string {
  return JSON.stringify(state, (_, value) => (typeof value === "bigint" ? String(value) : value));
}

/** What no user should have to read. */
function isUnclear(code: string, disturbance: Disturbance): boolean {
  return disturbance.kind === "meanwhile"
    ? !disturbance.errors.includes(code)
    : ["INTERNAL", "LOCK_REQUIRED"].includes(code);
}

function run(world: World, actors: Actors, verb: Verb, disturbance: Disturbance): Promise<End> {
  switch (disturbance.kind) {
    case "kill":
    case "fail":
      return actors.run(verb, disturbance);
    case "kill after":
      return actors.killAfter(verb, disturbance.delay, disturbance.group);
    case "daemon":
      return actors.run(verb, { kind: "ask", at: disturbance.at }, async () => {
        await world.daemon.signal("SIGKILL");
        await world.daemon.start();
      });
    case "meanwhile":
      return actors.run(verb, { kind: "ask", at: disturbance.at }, async () => disturbance.happens());
    case "fill":
      return world.filling((fill) => actors.run(verb, { kind: "ask", at: disturbance.at }, fill));
  }
}

/** A kill at every boundary of every operation. */
export function everyKill({ scenarios }: Torture): Trial[] {
  return scenarios.flatMap((scenario) =>
    scenario.boundaries.map(({ at }) => ({
      scenario,
      disturbance: { kind: "kill" as const, at, group: at % 2 === 0 },
    })),
  );
}

/** A kill anywhere: between two boundaries, or in the middle of what a program does. */
export function anyKill({ scenarios }: Torture, random: () => number): Trial {
  const scenario = pick(scenarios, random);
  const delay = random() * (scenario.took + 5);
  return { scenario, disturbance: { kind: "kill after", delay, group: random() < 0.5 } };
}

/** Every touch of every operation fails: alone, from there on, with the connection, with the daemon. */
export function everyFault({ scenarios }: Torture): Trial[] {
  return scenarios.flatMap((scenario) =>
    scenario.boundaries.flatMap(({ at, when, what }): Trial[] => {
      const called = what.startsWith("domain_");
      // What has been done cannot fail afterwards but by an answer that is lost.
      const fails: Disturbance[] =
        when === "before" || (called && when === "after") ? [{ kind: "fail", at, with: "EIO" }] : [];
      if (when === "before") {
        fails.push({ kind: "fail", at, with: "ENOSPC", on: true });
      }
      if (called && when !== "after") {
        fails.push({ kind: "fail", at, with: "lost" });
      }
      return fails.map((disturbance) => ({ scenario, disturbance }));
    }),
  );
}

/** The daemon dies before, during and after each call of every operation. */
export function everyDaemonDeath({ scenarios }: Torture): Trial[] {
  return scenarios.flatMap((scenario) =>
    scenario.boundaries
      .filter(({ what }) => what.startsWith("domain_"))
      .map(({ at }) => ({ scenario, disturbance: { kind: "daemon" as const, at } })),
  );
}

/** The disk is full from each step of every operation on. */
export function everyFullDisk({ scenarios }: Torture): Trial[] {
  return scenarios.flatMap((scenario) =>
    scenario.boundaries
      .filter(({ when }) => when === "before")
      .map(({ at }) => ({ scenario, disturbance: { kind: "fill" as const, at } })),
  );
}

export function pick<T>(list: readonly T[], random: () => number): T {
  const found = list[Math.floor(random() * list.length)];
  if (found === undefined) {
    throw new Error("nothing to pick from");
  }
  return found;
}

/** Nothing is left over, at the latest when doctor has been asked to put things right. */
async function repaired(world: World): Promise<void> {
  const { maintenance } = world.fixture.engine;
  if (maintenance === undefined) {
    throw new Error("no audit");
  }
  for (const finding of await maintenance.audit()) {
    await maintenance.repair(finding, context());
  }
  const left = await maintenance.audit();
  if (left.length > 0) {
    throw new Error(`doctor cannot repair ${JSON.stringify(left)}`);
  }
  await cleanly(world, "the operation");
}

/** Numbers in [0, 1) that are the same for the same seed. */
export function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
