import type { End } from "../process.ts";
import type { Verb } from "../verb.ts";
import { type Contents, difference, type FileState } from "./contents.ts";
import { adopt, type Fault, fileOf, type Model } from "./model.ts";
import { chainOf, holdsData, type Observation } from "./observation.ts";

/** How an operation of strata's ended, and whether somebody came between. */
export interface Outcome {
  readonly end: End;
  readonly meanwhile: boolean;
}

/** What is judged: an operation, what was there before it, and what is there now. */
interface Case<V extends Verb = Verb> {
  readonly model: Model;
  readonly verb: V;
  readonly before: Observation;
  readonly now: Observation;
  /** What the disk showed. */
  readonly contents: Contents | null;
  /** Nobody can say how it ended. */
  readonly open: boolean;
  readonly refused: boolean;
  readonly done: boolean;
  fault(kind: Fault["kind"], what: string): void;
}

/** Holds what strata has done against what must be there. */
export function judge(model: Model, verb: Verb, { end, meanwhile }: Outcome, now: Observation): Fault[] {
  const open = end.kind === "killed" || meanwhile;
  const refused = end.kind === "ended" && end.error !== undefined;
  const before = model.now;
  const faults: Fault[] = [];
  const one: Case = {
    model,
    verb,
    before,
    now,
    contents: contentsOf(before, before.active),
    open,
    refused: refused && !open,
    done: !open && !refused,
    fault: (kind, what) => faults.push({ kind, what }),
  };
  if (!one.refused) {
    release(model, verb, before);
  }
  const target = targetOf(model, verb);
  judgeDisk(one, target);
  for (const file of before.files.values()) {
    judgeFile(one, file, target);
    judgeInside(one, file);
  }
  judgeSnapshots(one);
  model.now = now;
  return faults;
}

function contentsOf(observation: Observation, path: string): Contents | null {
  return observation.files.get(path)?.contents ?? null;
}

/** What the disk is to show when it is done, where that is something else than before. */
function targetOf({ kept, now }: Model, verb: Verb): Contents | undefined {
  if (verb.kind === "restore") {
    return kept.get(verb.name)?.contents;
  }
  if (verb.kind !== "choose" || verb.choice !== "activate") {
    return undefined;
  }
  return now.files.get(verb.subject)?.contents ?? undefined;
}

/** The disk shows what it showed, or what the operation was to bring. */
function judgeDisk(one: Case, target: Contents | undefined): void {
  const { model, verb, before, now, contents, open, done, fault } = one;
  const allowed = target === undefined || open ? [contents, target] : [done ? target : contents];
  // What a damaged layer shows, nobody can say: QEMU reads zeros where it was cut off, or what is below.
  const unknown =
    (verb.kind === "restore" && model.broken.has(verb.name)) ||
    chainOf(model.place, before, before.active).some((path) => model.damaged.has(path));
  const shown = contentsOf(now, now.active);
  if (contents !== null && !unknown && !allowed.includes(shown)) {
    fault("lost", `the disk shows something else: ${difference(allowed[0] ?? contents, shown)}`);
  }
}

/** Data of a file that nobody let go is still there, in that file or another. */
function judgeFile({ model, before, now, fault }: Case, was: FileState, target: Contents | undefined): void {
  const { path } = was;
  const free = model.free.has(path) || (path === before.active && target === undefined);
  if (was.contents === null || free || !holdsData(model.place, before, was)) {
    return;
  }
  if (![...now.files.values()].some(({ contents }) => contents === was.contents)) {
    fault("lost", `${path} held data that nobody let go: ${difference(was.contents, contentsOf(now, path))}`);
  }
}

/** Snapshots inside a file are still there. */
function judgeInside({ verb, now, fault }: Case, was: FileState): void {
  for (const [name, contents] of was.inside) {
    if (contents === null || (verb.kind === "delete" && verb.name === name)) {
      continue;
    }
    if (![...now.files.values()].some(({ inside }) => inside.get(name) === contents)) {
      fault("lost", `the internal snapshot ${name} in ${was.path} is gone or other`);
    }
  }
}

/** What the operation lets go, done or only begun. */
function release(model: Model, verb: Verb, before: Observation): void {
  if (verb.kind === "delete") {
    const file = (model.kept.get(verb.name) ?? model.broken.get(verb.name))?.file;
    if (file !== undefined && file !== before.active) {
      model.free.add(file);
    }
  }
  if (verb.kind === "choose" && verb.choice === "remove") {
    model.free.add(verb.subject);
    releaseChosen(model, verb.subject);
  }
  const isFrozen = [...model.kept.values()].some(({ file }) => file === before.active);
  if (verb.kind === "restore" && before.active.startsWith(`${model.place.folder}/`) && !isFrozen) {
    model.free.add(before.active);
  }
}

/** Snapshots that a repair was told to remove, by name or by file. */
function releaseChosen(model: Model, subject: string): void {
  for (const map of [model.kept, model.lost, model.broken]) {
    for (const [name, { file }] of [...map]) {
      if (name !== subject && file !== subject) {
        continue;
      }
      model.uncertain.add(name);
      model.free.add(file);
      if (map === model.lost) {
        map.delete(name);
      }
    }
  }
}

/** No record of a snapshot may go that was not to go. */
function judgeSnapshots(one: Case): void {
  const { model, verb, now } = one;
  if (verb.kind === "delete") {
    judgeDeletion({ ...one, verb });
  } else if (verb.kind === "rename") {
    judgeRename({ ...one, verb });
  } else if (verb.kind === "take" && !model.now.records.has(verb.name)) {
    judgeTake({ ...one, verb });
  }
  for (const [name, old] of model.lost) {
    if (now.records.has(name)) {
      model.lost.delete(name);
      model.kept.set(name, old);
    }
  }
  for (const name of [...model.kept.keys()]) {
    judgeKept(one, name);
  }
  // By somebody who came between.
  for (const record of now.records.values()) {
    if (!model.kept.has(record.name) && !model.broken.has(record.name)) {
      adopt(model, record, now);
    }
  }
}

function judgeDeletion(one: Case<Extract<Verb, { kind: "delete" }>>): void {
  const { model, verb, before, now, open, refused, done, fault } = one;
  const { name } = verb;
  const there = now.records.has(name);
  const file = (model.kept.get(name) ?? model.broken.get(name))?.file;
  if (done && there) {
    fault("unclear", `delete ${name} says done, and it is there`);
  }
  if (refused && !there && before.records.has(name) && !model.uncertain.has(name)) {
    fault("unclear", `delete ${name} was refused, and it is gone`);
  }
  if (there) {
    if (open) {
      model.uncertain.add(name);
    }
    return;
  }
  // It was told to, whatever it says.
  if (file !== undefined && file !== now.active) {
    model.free.add(file);
  }
  for (const map of [model.kept, model.broken]) {
    map.delete(name);
  }
}

function judgeRename(one: Case<Extract<Verb, { kind: "rename" }>>): void {
  const { model, verb, now, open, done, fault } = one;
  const old = model.kept.get(verb.name);
  if (old !== undefined && now.records.has(verb.to) && !now.records.has(verb.name)) {
    model.kept.delete(verb.name);
    model.kept.set(verb.to, old);
  } else if (done && old !== undefined) {
    fault("unclear", `rename of ${verb.name} says done, and it is not`);
  }
  if (open) {
    for (const name of [verb.name, verb.to]) {
      model.uncertain.add(name);
    }
  }
}

function judgeTake(one: Case<Extract<Verb, { kind: "take" }>>): void {
  const { model, verb, now, contents, open, refused, done, fault } = one;
  const there = now.records.has(verb.name);
  if (done && !there) {
    fault("lost", `take ${verb.name} says done, and it is not there`);
  }
  if (refused && there) {
    fault("unclear", `take ${verb.name} was refused, and it is there`);
  }
  if (there && contents !== null) {
    model.kept.set(verb.name, { contents, file: "" });
  } else if (open) {
    model.uncertain.add(verb.name);
  }
}

/** A snapshot that can be read can still be read. */
function judgeKept({ model, now, fault }: Case, name: string): void {
  const { kept, uncertain, free } = model;
  const old = kept.get(name);
  if (old === undefined) {
    return;
  }
  const file = fileOf(now, name, old);
  if (now.records.has(name) && file !== undefined) {
    kept.set(name, { ...old, file });
    return;
  }
  kept.delete(name);
  if (now.records.has(name)) {
    const shown = contentsOf(now, old.file);
    fault("lost", `snapshot ${name}: ${difference(old.contents, shown)}`);
  } else if (!uncertain.has(name)) {
    fault("lost", `the record of snapshot ${name} is gone`);
  } else if (file !== undefined) {
    free.add(file);
  }
}
