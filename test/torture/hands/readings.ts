import { asStrataError } from "../../../lib/errors.ts";
import { INSTANCE } from "../world.ts";
import type { Deed } from "./hand.ts";
import type { Story } from "./story.ts";
import { within } from "./within.ts";
import { unnamed, wrongs } from "./wrongs.ts";

/** What asks and changes nothing works whatever was done, and doctor names what is wrong. */
export async function readings(story: Story, told: NonNullable<Deed["wrong"]>): Promise<void> {
  await readInstance(story);
  await readFindings(story);
  const all = [...wrongs(story.model), ...told.map((words) => ({ what: "that interference", words }))];
  for (const { what } of unnamed(all, story.findings)) {
    story.blame("unnamed", what);
  }
}

/** What a question is answered with; undefined where it fails, which must not be. */
async function ask<T>(story: Story, what: string, work: Promise<T>): Promise<T | undefined> {
  try {
    return await within(what, work);
  } catch (error) {
    const { code, message } = asStrataError(error);
    story.blame("stuck", `${what} fails: ${code}: ${message}`);
    return undefined;
  }
}

/** The instance is shown with its snapshots wherever it is asked for, as long as it is known for one. */
async function readInstance(story: Story): Promise<void> {
  const { world, model } = story;
  const { instances } = world.fixture.engine;
  const list = await ask(story, "list", instances.list());
  const outline =
    instances.outline === undefined ? undefined : await ask(story, "outline", instances.outline());
  const found = await ask(story, "info", instances.find(INSTANCE));
  if (!model.now.xml.includes("urn:strata:1")) {
    return;
  }
  for (const [what, all] of [
    ["list", list],
    ["the outline", outline],
  ] as const) {
    if (all !== undefined && !all.some(({ id }) => id === model.place.id)) {
      story.blame("stuck", `${what} does not show the instance`);
    }
  }
  if (found === null) {
    story.blame("stuck", "info does not find the instance");
  } else {
    await readTree(story);
  }
}

async function readTree(story: Story): Promise<void> {
  const { world, model } = story;
  const tree = await ask(story, "list --snapshots", world.fixture.engine.snapshots.tree(model.place.id));
  if (tree === undefined) {
    return;
  }
  const names = tree.snapshots.map(({ name }) => name);
  const hidden = [...model.now.records.keys()].filter((name) => !names.includes(name));
  if (hidden.length > 0) {
    story.blame("stuck", `the tree does not show ${hidden.join(", ")}`);
  }
}

async function readFindings(story: Story): Promise<void> {
  const { world, model, log } = story;
  const { maintenance } = world.fixture.engine;
  story.findings = (await ask(story, "doctor", maintenance?.audit() ?? Promise.resolve([]))) ?? [];
  for (const { kind, subject, repair } of story.findings) {
    // A subject comes from what is not checked, too.
    if (typeof subject !== "string" || typeof kind !== "string") {
      story.blame("unclear", `doctor finds ${kind} of ${subject}`);
    }
    const about = String(subject).replace(`${model.place.folder}/`, "");
    log.push(`  doctor: ${kind} ${about}${repair ? ` -> ${repair}` : ""}`);
  }
}
