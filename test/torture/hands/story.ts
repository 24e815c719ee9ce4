import { rm } from "node:fs/promises";
import { ExecaError } from "execa";
import type { Finding } from "../../../lib/engine/contract.ts";
import { asStrataError } from "../../../lib/errors.ts";
import type { Plan } from "../actor.ts";
import type { Actors, End } from "../process.ts";
import type { Verb } from "../verb.ts";
import { INSTANCE, type World } from "../world.ts";
import { accept } from "./accept.ts";
import { type Deed, define, type Hand, openHand } from "./hand.ts";
import { judge } from "./judge.ts";
import { type Fault, type Model, modelOf } from "./model.ts";
import { deletedUnderGuest, type Observation, observe, type Place } from "./observation.ts";
import { wordsOf } from "./operation.ts";
import { readings } from "./readings.ts";
import { keepNotes } from "./records.ts";
import { within } from "./within.ts";

/** A trial under way: the world, what must be there, and what has been done. */
export interface Story extends AsyncDisposable {
  readonly world: World;
  readonly actors: Actors;
  readonly hand: Hand;
  readonly model: Model;
  readonly log: string[];
  readonly faults: Fault[];
  /** Interferences that came to something. */
  interferences: number;
  /** Refusals, as "verb CODE". */
  readonly refusals: string[];
  /** What doctor found last. */
  findings: readonly Finding[];
  /** Says what is wrong, in the log as well, where it shows after what. */
  blame(kind: Fault["kind"], what: string): void;
  /** True until something is lost or stuck, from where on nothing can be told. */
  goesOn(): boolean;
}

/** A step of an operation. */
export type Step = Extract<Plan, { kind: "ask" }>["at"];

/** Begins a trial on a world as it is after a reset. */
export async function openStory(
  world: World,
  actors: Actors,
  place: Place,
  random: () => number,
): Promise<Story> {
  await rm(place.elsewhere, { recursive: true, force: true });
  const now = await observe(world, place, []);
  const hand = await openHand(world, place, random, now);
  const faults: Fault[] = [];
  const log: string[] = [];
  const story: Story = {
    world,
    actors,
    hand,
    model: modelOf(place, now),
    log,
    faults,
    interferences: 0,
    refusals: [],
    findings: [],
    blame(kind, what) {
      faults.push({ kind, what });
      log.push(`  ${kind.toUpperCase()}: ${what}`);
    },
    goesOn: () => !faults.some(({ kind }) => kind === "lost" || kind === "stuck"),
    async [Symbol.asyncDispose]() {
      for (const locker of hand.lockers.splice(0)) {
        locker.kill("SIGKILL");
      }
    },
  };
  remember(story, now);
  await keepNotes(hand);
  return story;
}

function remember({ hand }: Story, { xml, records }: Observation): void {
  hand.definitions.push(xml);
  for (const record of records.values()) {
    if (!hand.records.includes(record.xml)) {
      hand.records.push(record.xml);
    }
  }
}

/** Looks at what is there, all that is known of outside included. */
export async function look({ world, hand, model }: Story): Promise<Observation> {
  const known = [...model.now.files.keys(), ...hand.outside];
  return observe(world, model.place, known);
}

/** Another's hand does something. */
export async function interfere(
  story: Story,
  name: string,
  work: (hand: Hand) => Promise<Deed>,
): Promise<void> {
  const { hand, model, log } = story;
  hand.now = await look(story);
  const deed = await work(hand).catch(inVain);
  log.push(`${deed.done ? "hand" : "hand, in vain"} (${name}): ${deed.what}`);
  if (deed.done) {
    story.interferences += 1;
  }
  const now = await look(story);
  for (const said of accept(model, deed, now)) {
    log.push(`  ${said}`);
  }
  await readings(story, deed.wrong ?? []);
  await keepNotes(hand);
  if (!now.xml.includes("urn:strata:1")) {
    await define(hand, hand.now.xml, "metadata put back");
    log.push("hand: our metadata are put back");
    accept(model, { what: "", done: true }, await look(story));
  }
}

/** A hand comes to nothing where a guest has the file locked. */
function inVain(error: unknown): Deed {
  const why =
    error instanceof ExecaError ? /Failed to get .*lock|Could not open backing/.exec(error.message) : null;
  if (why === null) {
    throw error;
  }
  return { what: why[0].startsWith("Failed") ? "a file is locked" : "a layer is missing", done: false };
}

/** strata does something, perhaps with a hand that comes between at one of its steps. */
export async function operate(
  story: Story,
  verb: Verb,
  between?: { readonly at: Step; readonly die: boolean; work(hand: Hand): Promise<Deed> },
): Promise<End> {
  const { model, hand, actors, log } = story;
  let came = false;
  const during = async () => {
    if (between === undefined) {
      return;
    }
    await keepNotes(hand);
    const deed = await between.work(hand).catch(inVain);
    came = deed.done;
    if (came) {
      story.interferences += 1;
    }
    log.push(
      `  between (${between.at}${between.die ? ", then killed" : ""}): ${deed.what}${came ? "" : ", in vain"}`,
    );
  };
  hand.now = model.now;
  const plan =
    between === undefined
      ? ({ kind: "look" } as const)
      : ({ kind: "ask", at: between.at, die: between.die } as const);
  const end = await actors.run(verb, plan, during);
  log.push(`${wordsOf(verb)}: ${toldOf(end)}`);
  refusal(story, verb, end, came);
  // Killed: whoever comes next finishes it or undoes it.
  if (end.kind === "killed") {
    await finishing(story);
  }
  const now = await look(story);
  for (const { kind, what } of judge(model, verb, { end, meanwhile: came }, now)) {
    story.blame(kind, what);
  }
  await guest(story, verb, end, hand.now.live);
  if (story.goesOn()) {
    await readings(story, []);
  }
  remember(story, now);
  await keepNotes(hand);
  return end;
}

function toldOf(end: End): string {
  if (end.kind === "killed") {
    return "killed";
  }
  return end.error === undefined ? "done" : `${end.error.code}: ${end.error.message}`;
}

/** The table's word for it is wanted, and no fault of the program's. */
function refusal(story: Story, verb: Verb, end: End, meanwhile: boolean): void {
  const { refusals, model } = story;
  if (end.kind === "killed" || end.error === undefined) {
    return;
  }
  const { code, message } = end.error;
  refusals.push(`${verb.kind} ${code}`);
  const unknown = message.endsWith("is gone") && !model.now.xml.includes("urn:strata:1");
  // Faults of the program that pass for the engine's, and what is to be looked for beforehand.
  const slip =
    code === "ENGINE_ERROR" &&
    (/Cannot read propert|is not a |undefined/.test(message) ||
      (!meanwhile && /checkpoint exists/.test(message)));
  if (verb.kind === "choose" && code === "FILE_NOT_FOUND" && !meanwhile) {
    story.blame("stuck", `what doctor offers cannot be done: ${message}`);
  }
  if ((["INTERNAL", "LOCK_REQUIRED", "PLUGIN_ERROR"].includes(code) || slip) && !unknown) {
    story.blame("unclear", `${verb.kind}: ${code}: ${message}`);
  }
  const way = verb.kind === "purge" || (verb.kind === "stop" && verb.grace === "force");
  if (way && !unknown) {
    story.blame("stuck", `${verb.kind} is refused: ${code}: ${message}`);
  }
}

/** Takes a lock, as any command would. */
async function finishing({ world, log, model }: Story): Promise<void> {
  const { instances } = world.fixture.engine;
  const context = { signal: new AbortController().signal, progress() {} };
  try {
    const which = { name: INSTANCE, id: model.place.id };
    await using _lock = await within("a lock", instances.lock(which, { wait: 30_000 }, context));
  } catch (error) {
    log.push(`  the next lock: ${asStrataError(error).code}: ${asStrataError(error).message}`);
  }
}

/** A guest must write files that will be found again, and none that others need. */
async function guest(story: Story, verb: Verb, end: End, before: string | null): Promise<void> {
  const { world, model } = story;
  const { now, kept } = model;
  if (now.live === null) {
    return;
  }
  const deleted = await deletedUnderGuest(world);
  if (deleted.length > 0) {
    story.blame("lost", `a guest runs on ${deleted.join(", ")}`);
  }
  // One that ran already was started by others.
  if (verb.kind !== "start" || before !== null || end.kind === "killed" || end.error !== undefined) {
    return;
  }
  const owner = [...kept].find(
    ([name, { file }]) => file === now.live && !now.records.get(name)?.internal,
  )?.[0];
  if (owner !== undefined) {
    story.blame("lost", `strata has started a guest that writes the frozen file of ${owner}`);
  }
}
