import { basename } from "node:path";
import type { Finding } from "../../../lib/engine/contract.ts";
import { INSTANCE } from "../world.ts";
import type { Model } from "./model.ts";
import { above, chainOf, holdsData } from "./observation.ts";

/** Something wrong that doctor must name, by any of these words; by any finding for none. */
export interface Wrong {
  readonly what: string;
  readonly words: readonly string[];
}

/** All that is wrong, as far as it can be told without doubt: with no guest running. */
export function wrongs(model: Model): Wrong[] {
  const { now, place, kept, lost, broken, free } = model;
  if (now.live !== null || now.saved) {
    return [];
  }
  // What is not known to be an instance has no records.
  if (!now.xml.includes("urn:strata:1")) {
    return [{ what: "its metadata are lost", words: [place.folder] }];
  }
  const found: Wrong[] = [];
  const inFolder = (path: string) => path.startsWith(`${place.folder}/`);
  const meant = new Set([...now.records.values()].flatMap(({ candidates }) => candidates));
  const lostFiles = new Set([...lost.values()].map(({ file }) => file));
  const needed = (path: string) =>
    path === now.active ||
    above(place, now, path).length > 0 ||
    [...kept.values()].some(({ file }) => file === path);

  for (const path of model.damaged.keys()) {
    if (needed(path) && inFolder(path)) {
      found.push({ what: `${path} is damaged`, words: [basename(path)] });
    }
  }
  for (const [name, { file }] of broken) {
    // A guest on a frozen layer is named while it runs; afterwards nothing tells what it wrote.
    if (now.files.get(file)?.contents != null && !model.damaged.has(file)) {
      continue;
    }
    found.push({
      what: `snapshot ${name} cannot be read`,
      words: [`"${name}"`, basename(file), ...[...model.damaged.keys()].map((path) => basename(path))],
    });
  }
  // One that was recorded under another name is not lost.
  for (const [name, { file }] of lost) {
    if (!meant.has(file)) {
      found.push({ what: `the record of ${name} is lost`, words: [name, basename(file)] });
    }
  }

  for (const file of now.files.values()) {
    const { path } = file;
    const used = path === now.active || meant.has(path) || lostFiles.has(path) || free.has(path);
    if (used || !inFolder(path) || file.contents === null || above(place, now, path).length > 0) {
      continue;
    }
    if (holdsData(place, now, file)) {
      found.push({ what: `nothing names ${path}, which holds data`, words: [basename(path)] });
    }
  }

  const owner = [...kept].find(
    ([name, { file }]) => file === now.active && now.records.get(name)?.internal !== true,
  )?.[0];
  if (owner !== undefined) {
    found.push({ what: `the disk is the frozen file of ${owner}`, words: [basename(now.active), owner] });
  } else if (now.active !== "" && above(place, now, now.active).length > 0) {
    found.push({
      what: `others stand on the disk ${now.active}`,
      words: [now.active, ...above(place, now, now.active)].map((path) => basename(path)),
    });
  }
  if (now.active === "" || !now.files.has(now.active)) {
    found.push({ what: "the instance has no disk", words: [INSTANCE] });
  }
  if (now.explicit.length > 0 && now.explicit.join() !== chainOf(place, now, now.active).slice(1).join()) {
    found.push({ what: "the definition names another chain than the headers", words: [INSTANCE] });
  }
  return found;
}

/** Those that no finding names. */
export function unnamed(all: readonly Wrong[], findings: readonly Finding[]): Wrong[] {
  // What else is wrong may be a step of it, and is told once it has ended.
  if (findings.some(({ kind }) => kind === "operation-unfinished")) {
    return [];
  }
  const told = findings.map(({ instance, subject, detail }) => `${instance ?? ""} ${subject} ${detail}`);
  return all.filter(({ words }) =>
    words.length === 0 ? told.length === 0 : !told.some((text) => words.some((word) => text.includes(word))),
  );
}
