import { readdir } from "node:fs/promises";
import { asStrataError } from "../../../lib/errors.ts";
import { INSTANCE } from "../world.ts";
import { difference, type FileState, lookAt } from "./contents.ts";
import { letGo, virsh } from "./hand.ts";
import { judge } from "./judge.ts";
import { readings } from "./readings.ts";
import { look, operate, type Story } from "./story.ts";
import { within } from "./within.ts";

const on = INSTANCE;
const DONE = { end: { kind: "ended", boundaries: [], took: 0 }, meanwhile: false } as const;

/** How every trial ends: out of every state, with every snapshot brought back, and nothing left behind. */
export async function end(story: Story): Promise<void> {
  const { hand, model } = story;
  await letGo(hand);
  await operate(story, { kind: "stop", on, grace: "force" });
  if (story.goesOn() && hand.random() < 0.4) {
    await starts(story);
  }
  if (story.goesOn() && hand.random() < 0.5) {
    await operate(story, { kind: "repair", on });
  }
  if (story.goesOn()) {
    await letCheckpointsGo(story);
  }
  for (const name of [...model.kept.keys()].sort()) {
    if (story.goesOn()) {
      await restores(story, name);
    }
  }
  if (story.goesOn() && hand.random() < 0.3) {
    await forgotten(story);
  }
  if (story.goesOn()) {
    await purges(story);
  }
}

/** libvirt has never heard of it: the instance describes itself. */
async function forgotten(story: Story): Promise<void> {
  const { world, hand, model, log } = story;
  const { maintenance } = world.fixture.engine;
  if (maintenance?.recover === undefined || story.findings.length > 0) {
    return;
  }
  const options = ["--snapshots-metadata", "--checkpoints-metadata", "--managed-save", "--keep-nvram"];
  const { ok, out } = await virsh(hand, "undefine", INSTANCE, ...options);
  log.push(`hand: undefine ${out}`);
  if (!ok) {
    return;
  }
  const context = { signal: new AbortController().signal, progress() {} };
  try {
    const name = await within("recover", maintenance.recover(model.place.folder, context));
    log.push(`strata recover --from: ${name}`);
    const now = await look(story);
    for (const { kind, what } of judge(model, { kind: "repair", on }, DONE, now)) {
      story.blame(kind, what);
    }
    await readings(story, []);
    for (const name of [...model.kept.keys()].sort()) {
      if (story.goesOn()) {
        await restores(story, name);
      }
    }
  } catch (error) {
    const { code, message } = asStrataError(error);
    story.blame("stuck", `recover is refused: ${code}: ${message}`);
  }
}

/** What doctor finds nothing wrong with can be started. */
async function starts(story: Story): Promise<void> {
  const { model, findings } = story;
  const quiet = findings.every(({ instance }) => instance !== INSTANCE);
  const ended = await operate(story, { kind: "start", on });
  if (ended.kind === "ended" && ended.error !== undefined && quiet) {
    story.blame("unnamed", `start is refused: ${ended.error.code}: ${ended.error.message}`);
  }
  if (model.now.live !== null) {
    await operate(story, { kind: "stop", on, grace: "force" });
  }
}

/** They belong to a backup tool, which has done its work by now. */
async function letCheckpointsGo(story: Story): Promise<void> {
  const { ok, out } = await virsh(story.hand, "checkpoint-list", INSTANCE, "--name", "--topological");
  if (!ok) {
    return;
  }
  for (const name of out.split("\n").filter(Boolean).reverse()) {
    await virsh(story.hand, "checkpoint-delete", INSTANCE, name, "--metadata");
  }
}

/** A snapshot is what it was, through strata's restore. */
export async function restores(story: Story, name: string): Promise<void> {
  const { model } = story;
  const kept = model.kept.get(name);
  if (kept === undefined) {
    return;
  }
  const internal = model.now.records.get(name)?.internal === true;
  const quiet = story.findings.every(({ instance }) => instance !== INSTANCE);
  const ended = await operate(story, { kind: "restore", on, name });
  if (ended.kind === "killed" || internal) {
    return;
  }
  if (ended.error === undefined) {
    const shown = model.now.files.get(model.now.active)?.contents ?? null;
    if (shown !== kept.contents) {
      story.blame("lost", `${name} restored: ${difference(kept.contents, shown)}`);
    }
  } else if (quiet) {
    story.blame("unnamed", `restore of ${name} is refused, and doctor finds nothing wrong`);
  }
}

async function purges(story: Story): Promise<void> {
  const { model, hand, log } = story;
  const outside = [...hand.outside].filter((path) => !path.startsWith(`${model.place.folder}/`));
  const before = outside.map((path) => model.now.files.get(path));
  const ended = await story.actors.run({ kind: "purge", on }, { kind: "look" });
  const why = ended.kind === "ended" ? ended.error : undefined;
  log.push(`strata purge: ${why === undefined ? "done" : `${why.code}: ${why.message}`}`);
  if (ended.kind === "killed" || why !== undefined) {
    story.blame("stuck", `purge is refused: ${why?.code}: ${why?.message}`);
    return;
  }
  await requireGone(story);
  await requireUntouched(
    story,
    before.filter((was) => was !== undefined),
  );
}

/** Nothing of the instance is left but what a hand has put there, and that is told. */
async function requireGone(story: Story): Promise<void> {
  const { world, model } = story;
  const { engine, connection } = world.fixture;
  if ((await connection.listDomains()).some(({ uuid }) => uuid === model.place.id)) {
    story.blame("stuck", "purge says done, and the domain is there");
  }
  const left = await readdir(model.place.folder).catch(() => undefined);
  const findings = await within("doctor", engine.maintenance?.audit() ?? Promise.resolve([]));
  if (left === undefined) {
    return;
  }
  // What a hand has put there itself is not strata's to remove, but it is to be told.
  if (!findings.some(({ subject, detail }) => `${subject} ${detail}`.includes(model.place.id))) {
    story.blame("unnamed", `purge leaves ${left.join(", ")}, and doctor is silent`);
  }
  if (!left.every((file) => /^(?:rescue|mine)-|^layer-0000000\d*-/.test(file))) {
    story.blame("stuck", `purge leaves ${left.join(", ")}, which libvirt or strata made`);
  }
}

/** Files elsewhere are as they were. */
async function requireUntouched(story: Story, before: readonly FileState[]): Promise<void> {
  for (const was of before) {
    const is =
      was.contents === null ? null : await lookAt(was.path, `${story.world.daemon.folder}/hands.raw`);
    if (was.contents !== null && is?.contents !== was.contents) {
      story.blame("lost", `${was.path} was none of strata's and is gone or other`);
    }
  }
}
