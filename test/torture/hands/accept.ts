import type { Deed } from "./hand.ts";
import { adopt, fileOf, type Kept, type Model } from "./model.ts";
import type { Observation, RecordState } from "./observation.ts";

/** Takes what an interference has made of it for what must be there: it is not strata's doing. Gives what is to be said of it. */
export function accept(model: Model, deed: Deed, now: Observation): string[] {
  const { kept, lost, broken } = model;
  const before = model.now;
  noteWrites(model, deed, now);
  model.now = now;
  const told: string[] = [];
  for (const [name, old] of [...kept, ...lost, ...broken]) {
    const wasKnown = !broken.has(name);
    for (const map of [kept, lost, broken]) {
      map.delete(name);
    }
    const isThere = placeAgain(model, name, old, before.records.get(name), deed);
    if (!isThere && wasKnown) {
      told.push(`${name} is lost by that`);
    }
  }
  for (const record of now.records.values()) {
    if (!kept.has(record.name) && !broken.has(record.name)) {
      addMade(model, deed, record);
    }
  }
  return told;
}

/** What was written is not free any more; what was damaged, and is whole again, is not damaged. */
function noteWrites({ now: before, free, damaged }: Model, deed: Deed, now: Observation): void {
  for (const [path, was] of before.files) {
    if ((now.files.get(path)?.contents ?? null) === was.contents) {
      continue;
    }
    free.delete(path);
    if (was.contents !== null && deed.damaged?.includes(path)) {
      damaged.set(path, was.contents);
    }
  }
  for (const [path, was] of damaged) {
    if (now.files.get(path)?.contents === was) {
      damaged.delete(path);
    }
  }
}

/** Finds a snapshot of before again, whose record was `was`; false where its contents are gone. */
function placeAgain(
  model: Model,
  name: string,
  old: Kept,
  was: RecordState | undefined,
  deed: Deed,
): boolean {
  const { now, kept, lost, broken } = model;
  const record = now.records.get(name);
  if (record === undefined && deed.deleted?.includes(name)) {
    return true;
  }
  if (record !== undefined && isRemeant(was, record, now, old)) {
    adopt(model, record, now);
    return true;
  }
  const file = fileOf(now, name, old);
  if (file !== undefined) {
    (record === undefined ? lost : kept).set(name, { ...old, file });
    return true;
  }
  if (record !== undefined) {
    broken.set(name, old);
  }
  return false;
}

/** A snapshot that the interference has made. */
function addMade(model: Model, deed: Deed, record: RecordState): void {
  const { name } = record;
  const contents = deed.made?.get(name);
  const file = contents === undefined ? undefined : fileOf(model.now, name, { contents, file: "" });
  if (contents !== undefined && file !== undefined) {
    model.kept.set(name, { contents, file });
  } else {
    adopt(model, record, model.now);
  }
}

/** True where a record that was put back means other files, and none that shows what it did. */
function isRemeant(was: RecordState | undefined, is: RecordState, now: Observation, old: Kept): boolean {
  if (is.internal || was?.xml === is.xml) {
    return false;
  }
  const shown = is.candidates.flatMap((file) => now.files.get(file)?.contents ?? []);
  return shown.length > 0 && !shown.includes(old.contents);
}
