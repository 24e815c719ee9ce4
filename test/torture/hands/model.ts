import type { End } from "../process.ts";
import type { Verb } from "../verb.ts";
import { type Contents, difference } from "./contents.ts";
import type { Deed } from "./hand.ts";
import { chainOf, holdsData, type Observation, type Place, type RecordState } from "./observation.ts";

/** What must not be: something lost, no way on, something wrong that doctor is silent about, an unclear refusal. */
export interface Fault {
  readonly kind: "lost" | "stuck" | "unnamed" | "unclear";
  readonly what: string;
}

/** A snapshot that can be read: what it shows, and the file that showed it when last looked at. */
export interface Kept {
  readonly contents: Contents;
  readonly file: string;
}

/**
 * What must be there, by contents. Interferences may change it, since they are not strata's; what strata
 * does is held against it.
 */
export interface Model {
  readonly place: Place;
  now: Observation;
  /** Snapshots that libvirt has a record of and whose contents are there. */
  readonly kept: Map<string, Kept>;
  /** Snapshots whose record libvirt has lost, and whose contents are there. */
  readonly lost: Map<string, Kept>;
  /** Snapshots that interferences have destroyed, as they were. */
  readonly broken: Map<string, Kept>;
  /** Files that strata was told to let go, by a deletion or a restore, and that nobody has written since. */
  readonly free: Set<string>;
  /** What files showed before an interference damaged them. */
  readonly damaged: Map<string, Contents>;
  /** Snapshots of operations that were killed: they may be there or not. */
  readonly uncertain: Set<string>;
}

/** A model of what is there, all of which is well. */
export function modelOf(place: Place, now: Observation): Model {
  const model: Model = {
    place,
    now,
    kept: new Map(),
    lost: new Map(),
    broken: new Map(),
    free: new Set(),
    damaged: new Map(),
    uncertain: new Set(),
  };
  for (const record of now.records.values()) {
    adopt(model, record, now);
  }
  const used = new Set([...model.kept.values()].map(({ file }) => file)).add(now.active);
  for (const path of now.files.keys()) {
    if (!used.has(path)) {
      model.free.add(path);
    }
  }
  return model;
}

/** Takes a snapshot for what its record's files show. */
function adopt(model: Model, { name, candidates, internal }: RecordState, now: Observation): void {
  if (internal) {
    for (const { path, inside } of now.files.values()) {
      const contents = inside.get(name);
      if (contents != null) {
        model.kept.set(name, { contents, file: path });
      }
    }
    return;
  }
  for (const file of candidates) {
    const contents = now.files.get(file)?.contents;
    if (contents == null) {
      continue;
    }
    model.kept.set(name, { contents, file });
    return;
  }
}

/** The file in which a snapshot's contents are now, those that its record means first. */
export function fileOf(now: Observation, name: string, kept: Kept): string | undefined {
  const record = now.records.get(name);
  const shows = (path: string) => now.files.get(path)?.contents === kept.contents;
  const inside = [...now.files.values()].find((file) => file.inside.get(name) === kept.contents);
  if (record?.internal === true) {
    return inside?.path;
  }
  return (
    record?.candidates.find(shows) ??
    (shows(kept.file) ? kept.file : [...now.files.keys()].find(shows)) ??
    inside?.path
  );
}

/** What an interference has made of it: not strata's doing. Resolves to what is to be said of it. */
export function accept(model: Model, deed: Deed, now: Observation): string[] {
  const { kept, lost, broken, free, damaged } = model;
  const told: string[] = [];
  for (const [path, was] of model.now.files) {
    const is = now.files.get(path)?.contents ?? null;
    if (is === was.contents) {
      continue;
    }
    free.delete(path);
    if (was.contents !== null && deed.damaged?.includes(path)) {
      damaged.set(path, was.contents);
    }
  }
  const before = model.now;
  model.now = now;
  for (const [path, was] of damaged) {
    if (now.files.get(path)?.contents === was) {
      damaged.delete(path);
    }
  }
  for (const [name, old] of [...kept, ...lost, ...broken]) {
    const known = !broken.has(name);
    for (const map of [kept, lost, broken]) {
      map.delete(name);
    }
    const record = now.records.get(name);
    if (record === undefined && deed.deleted?.includes(name)) {
      continue;
    }
    const remeant = record !== undefined && isRemeant(before.records.get(name), record, now, old);
    if (remeant) {
      adopt(model, record, now);
      continue;
    }
    const file = fileOf(now, name, old);
    if (file !== undefined) {
      (record === undefined ? lost : kept).set(name, { ...old, file });
    } else if (record !== undefined) {
      broken.set(name, old);
    }
    if (file === undefined && known) {
      told.push(`${name} is lost by that`);
    }
  }
  for (const record of now.records.values()) {
    const { name } = record;
    if (kept.has(name) || broken.has(name)) {
      continue;
    }
    const contents = deed.made?.get(name);
    const file = contents === undefined ? undefined : fileOf(now, name, { contents, file: "" });
    if (contents !== undefined && file !== undefined) {
      kept.set(name, { contents, file });
    } else {
      adopt(model, record, now);
    }
  }
  return told;
}

/** True where a record that was put back means other files, and none that shows what it did. */
function isRemeant(was: RecordState | undefined, is: RecordState, now: Observation, old: Kept): boolean {
  if (is.internal || was?.xml === is.xml) {
    return false;
  }
  const shown = is.candidates.flatMap((file) => now.files.get(file)?.contents ?? []);
  return shown.length > 0 && !shown.includes(old.contents);
}

/** How an operation of strata's ended, and whether somebody came between. */
export interface Outcome {
  readonly end: End;
  readonly meanwhile: boolean;
}

/** Holds what strata has done against what must be there. */
export function judge(model: Model, verb: Verb, outcome: Outcome, now: Observation): Fault[] {
  const { end } = outcome;
  const open = end.kind === "killed" || outcome.meanwhile;
  const refused = end.kind === "ended" && end.error !== undefined;
  const done = !open && !refused;
  const faults: Fault[] = [];
  const fault = (kind: Fault["kind"], what: string) => faults.push({ kind, what });
  const before = model.now;
  const contentsBefore = before.files.get(before.active)?.contents ?? null;
  const contentsNow = now.files.get(now.active)?.contents ?? null;
  release(model, verb, refused && !open, before);

  const target = targetOf(model, verb);
  const allowed = target === undefined || open ? [contentsBefore, target] : [done ? target : contentsBefore];
  // What a damaged layer shows, nobody can say: QEMU reads zeros where it was cut off, or what is below.
  const unknown =
    (verb.kind === "restore" && model.broken.has(verb.name)) ||
    chainOf(model.place, before, before.active).some((path) => model.damaged.has(path));
  if (contentsBefore !== null && !unknown && !allowed.includes(contentsNow)) {
    fault("lost", `the disk shows something else: ${difference(allowed[0] ?? contentsBefore, contentsNow)}`);
  }

  for (const [path, was] of before.files) {
    const free = model.free.has(path) || (path === before.active && target === undefined);
    if (was.contents !== null && !free && holdsData(model.place, before, was)) {
      const still = [...now.files.values()].some(({ contents }) => contents === was.contents);
      if (!still) {
        fault(
          "lost",
          `${path} held data that nobody let go: ${difference(was.contents, now.files.get(path)?.contents ?? null)}`,
        );
      }
    }
    for (const [name, contents] of was.inside) {
      if (contents === null || (verb.kind === "delete" && verb.name === name)) {
        continue;
      }
      const still = [...now.files.values()].some(({ inside }) => inside.get(name) === contents);
      if (!still) {
        fault("lost", `the internal snapshot ${name} in ${path} is gone or other`);
      }
    }
  }
  names(model, verb, { open, refused, done }, contentsBefore, now, fault);
  model.now = now;
  return faults;
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

/** What the operation lets go, done or only begun. */
function release(model: Model, verb: Verb, refused: boolean, before: Observation): void {
  if (refused) {
    return;
  }
  const files = new Map([...model.kept].map(([name, { file }]) => [file, name]));
  if (verb.kind === "delete") {
    const file = (model.kept.get(verb.name) ?? model.broken.get(verb.name))?.file;
    if (file !== undefined && file !== before.active) {
      model.free.add(file);
    }
  }
  if (verb.kind === "choose" && verb.choice === "remove") {
    model.free.add(verb.subject);
    for (const map of [model.kept, model.lost, model.broken]) {
      for (const [name, { file }] of [...map]) {
        if (name !== verb.subject && file !== verb.subject) {
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
  if (
    verb.kind === "restore" &&
    before.active.startsWith(`${model.place.folder}/`) &&
    !files.has(before.active)
  ) {
    model.free.add(before.active);
  }
}

/** Snapshots by their names: no record may go that was not to go. */
function names(
  model: Model,
  verb: Verb,
  { open, refused, done }: Readonly<Record<"open" | "refused" | "done", boolean>>,
  contentsBefore: Contents | null,
  now: Observation,
  fault: (kind: Fault["kind"], what: string) => void,
): void {
  const { kept, lost, uncertain } = model;
  if (verb.kind === "delete") {
    const there = now.records.has(verb.name);
    const file = (kept.get(verb.name) ?? model.broken.get(verb.name))?.file;
    if (done && there) {
      fault("unclear", `delete ${verb.name} says done, and it is there`);
    }
    if (refused && !open && !there && model.now.records.has(verb.name) && !uncertain.has(verb.name)) {
      fault("unclear", `delete ${verb.name} was refused, and it is gone`);
    }
    // It was told to, whatever it says.
    if (!there && file !== undefined && file !== now.active) {
      model.free.add(file);
    }
    if (!there) {
      for (const map of [kept, model.broken]) {
        map.delete(verb.name);
      }
    } else if (open) {
      uncertain.add(verb.name);
    }
  }
  if (verb.kind === "rename") {
    const old = kept.get(verb.name);
    if (old !== undefined && now.records.has(verb.to) && !now.records.has(verb.name)) {
      kept.delete(verb.name);
      kept.set(verb.to, old);
    } else if (done && old !== undefined) {
      fault("unclear", `rename of ${verb.name} says done, and it is not`);
    }
    if (open) {
      for (const name of [verb.name, verb.to]) {
        uncertain.add(name);
      }
    }
  }
  if (verb.kind === "take" && !model.now.records.has(verb.name)) {
    const there = now.records.has(verb.name);
    if (done && !there) {
      fault("lost", `take ${verb.name} says done, and it is not there`);
    }
    if (refused && !open && there) {
      fault("unclear", `take ${verb.name} was refused, and it is there`);
    }
    if (there && contentsBefore !== null) {
      kept.set(verb.name, { contents: contentsBefore, file: "" });
    } else if (open) {
      uncertain.add(verb.name);
    }
  }
  for (const [name, old] of lost) {
    if (now.records.has(name)) {
      lost.delete(name);
      kept.set(name, old);
    }
  }
  for (const [name, old] of kept) {
    const file = fileOf(now, name, old);
    if (file !== undefined) {
      kept.set(name, { ...old, file });
    }
    if (!now.records.has(name)) {
      kept.delete(name);
      if (!uncertain.has(name)) {
        fault("lost", `the record of snapshot ${name} is gone`);
      } else if (file !== undefined) {
        model.free.add(file);
      }
    } else if (file === undefined) {
      kept.delete(name);
      fault(
        "lost",
        `snapshot ${name}: ${difference(old.contents, now.files.get(old.file)?.contents ?? null)}`,
      );
    }
  }
  // By somebody who came between.
  for (const record of now.records.values()) {
    if (!kept.has(record.name) && !model.broken.has(record.name)) {
      adopt(model, record, now);
    }
  }
}
