import type { Contents } from "./contents.ts";
import type { Observation, Place, RecordState } from "./observation.ts";

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
export function adopt(model: Model, { name, candidates, internal }: RecordState, now: Observation): void {
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
