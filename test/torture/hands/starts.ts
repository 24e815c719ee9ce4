import { numbers, verbs } from "../trials.ts";
import type { Verb } from "../verb.ts";
import { INSTANCE } from "../world.ts";
import { restores } from "./ending.ts";
import { anyOf, anyWrite, byVirsh, type Deed, guestWrites, type Hand } from "./hand.ts";
import { interfere, operate, type Story } from "./story.ts";
import { type Result, type Stage, tell } from "./trial.ts";

/** A guest is started with virsh at one step of one operation. */
export interface Start {
  readonly name: string;
  readonly verb: Verb;
  readonly at: number;
  /** The step, in words. */
  readonly step: string;
}

const on = INSTANCE;

/** Learns the steps of every operation from runs that nobody disturbs. */
export async function everyStart({ world, actors }: Stage): Promise<Start[]> {
  const { path, format, sha256 } = world.fixture.image;
  const starts: Start[] = [];
  for (const [name, verb] of Object.entries(verbs({ path, format, sha256 }))) {
    // Nothing runs yet, or nothing is left to run.
    if (verb.kind === "launch" || verb.kind === "purge") {
      continue;
    }
    const end = await actors.run(verb, { kind: "look" });
    if (end.kind === "killed" || end.error !== undefined) {
      throw new Error(`${name} fails undisturbed: ${JSON.stringify(end)}`);
    }
    for (const { at, when, what } of end.boundaries) {
      starts.push({ name, verb, at, step: `${when} ${what}` });
    }
    await world.reset();
  }
  return starts;
}

/** One of them: whoever started it writes, and finds that again when it has stopped. */
export async function startThere(stage: Stage, start: Start, seed: number): Promise<Result> {
  const random = numbers(seed * 1_000_003 + start.at);
  return tell(
    stage,
    random,
    async (story) => {
      const work = (hand: Hand) => byVirsh(hand, ["start", on]);
      story.log.push(`${start.name}, ${start.step}`);
      await operate(story, start.verb, { at: start.at, die: random() < 0.3, work });
      if (story.goesOn() && story.model.now.live !== null) {
        await interfere(story, "the guest writes", write);
      }
      if (story.goesOn()) {
        await operate(story, { kind: "stop", on, grace: "force" });
      }
    },
    after,
  );
}

async function write(hand: Hand): Promise<Deed> {
  const { offset, length, value } = anyWrite(hand.random);
  const done = await guestWrites(hand, offset, length, value);
  return { what: `the guest writes ${value} at ${offset}`, done };
}

/** Doctor puts right what there is, and one snapshot is brought back. */
async function after(story: Story): Promise<void> {
  const { hand, model } = story;
  await operate(story, { kind: "repair", on });
  const name = anyOf([...model.kept.keys()].sort(), hand.random);
  if (name !== undefined && story.goesOn()) {
    await restores(story, name);
  }
}
