import { type Actors, openActors } from "../process.ts";
import { numbers, pick } from "../trials.ts";
import { INSTANCE, openWorld, type World } from "../world.ts";
import { lookAt } from "./contents.ts";
import { end } from "./ending.ts";
import { INTERFERENCES } from "./interference.ts";
import type { Fault } from "./model.ts";
import { placeOf } from "./observation.ts";
import { anyOperation } from "./operation.ts";
import { interfere, openStory, operate, type Story } from "./story.ts";

/** A world for trials of this kind, one after another. */
export interface Stage extends AsyncDisposable {
  readonly world: World;
  readonly actors: Actors;
}

export async function openStage(settings: Readonly<Record<string, string>> = {}): Promise<Stage> {
  const world = await openWorld({ settings });
  const actors = await openActors(world.settings);
  return {
    world,
    actors,
    async [Symbol.asyncDispose]() {
      await actors[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

export interface Result {
  readonly interferences: number;
  readonly faults: readonly Fault[];
  readonly log: readonly string[];
  readonly refusals: readonly string[];
}

/** Most interferences of a trial, and operations between two of them. */
const MOST = { interferences: 6, operations: 2 };

const BETWEEN = INTERFERENCES.filter(({ harmless }) => harmless === true);

/** A random story, the same for the same seed and number. */
export async function anyStory(stage: Stage, seed: number, number: number): Promise<Result> {
  const random = numbers(seed * 1_000_003 + number);
  // The first ones of neighbouring seeds are alike.
  for (let skipped = 0; skipped < 3; skipped += 1) {
    random();
  }
  return tell(stage, random, async (story) => {
    const many = 1 + Math.floor(random() * MOST.interferences);
    for (let at = 0; at < many && story.goesOn(); at += 1) {
      const { name, work } = pick(INTERFERENCES, random);
      await interfere(story, name, work);
      const operations = 1 + Math.floor(random() * MOST.operations);
      for (let done = 0; done < operations && story.goesOn(); done += 1) {
        await anyStep(story);
      }
    }
  });
}

async function anyStep(story: Story): Promise<void> {
  const { hand, model } = story;
  const { random } = hand;
  const verb = anyOperation(hand, model, story.findings);
  if (random() < 0.2) {
    const { work } = pick(
      BETWEEN.filter(({ name }) =>
        model.now.live === null ? name !== "virsh: destroy" : name !== "virsh: start",
      ),
      random,
    );
    await operate(story, verb, { at: 1 + Math.floor(random() * 24), die: random() < 0.3, work });
  } else {
    await operate(story, verb);
  }
  if (verb.kind === "clone") {
    await sweep(story);
  }
}

/** The copy is looked at, and taken away again. */
async function sweep(story: Story): Promise<void> {
  const { world, model, actors } = story;
  const { instances } = world.fixture.engine;
  const copy = await instances.find("copy");
  if (copy === null) {
    return;
  }
  const { activeLayer } = await world.fixture.layers(copy);
  const shown = (await lookAt(activeLayer, `${world.daemon.folder}/hands.raw`))?.contents ?? null;
  const original = model.now.files.get(model.now.active)?.contents ?? null;
  if (shown !== original && !copy.removing) {
    story.blame("lost", "the clone does not show what its original does");
  }
  const end = await actors.run({ kind: "purge", on: "copy" }, { kind: "look" });
  if (end.kind === "killed" || end.error !== undefined) {
    story.blame("stuck", `the clone cannot be purged: ${JSON.stringify(end)}`);
  }
}

/** Runs a callback on a fresh instance, ends it as every trial ends, and makes the world anew. */
export async function tell(
  { world, actors }: Stage,
  random: () => number,
  work: (story: Story) => Promise<void>,
  ending: (story: Story) => Promise<void> = end,
): Promise<Result> {
  const place = await placeOf(world);
  const story = await openStory(world, actors, place, random);
  const { faults, log, refusals } = story;
  try {
    await work(story);
    if (story.goesOn()) {
      await ending(story);
    }
  } catch (error) {
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    story.blame("stuck", message.startsWith("hangs") ? message : (stack ?? message));
  } finally {
    await story[Symbol.asyncDispose]();
    await renew(world);
  }
  return { interferences: story.interferences, faults, log, refusals };
}

/** What libvirt keeps in its memory after what was done to its records may be in the way: it starts anew. */
async function renew(world: World): Promise<void> {
  try {
    await world.reset();
    const { uuid } = await world.fixture.connection.lookupDomainByName(INSTANCE);
    const findings = await world.fixture.engine.maintenance?.audit();
    if (findings?.length === 0 && uuid !== "") {
      return;
    }
  } catch {
    // Tried once more with a new one.
  }
  await world.daemon.signal("SIGKILL");
  await world.daemon.start();
  await world.reset();
}
