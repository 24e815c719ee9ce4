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
  const { now, place } = model;
  if (now.live !== null || now.saved) {
    return [];
  }
  // What is not known to be an instance has no records.
  if (!now.xml.includes("urn:strata:1")) {
    return [{ what: "its metadata are lost", words: [place.folder] }];
  }
  return [
    ...damagedFiles(model),
    ...brokenSnapshots(model),
    ...lostRecords(model),
    ...unnamedLayers(model),
    ...wrongDisk(model),
  ];
}

function isInFolder({ place }: Model, path: string): boolean {
  return path.startsWith(`${place.folder}/`);
}

/** Files that a snapshot means, by its record. */
function meantFiles({ now }: Model): Set<string> {
  return new Set([...now.records.values()].flatMap(({ candidates }) => candidates));
}

function damagedFiles(model: Model): Wrong[] {
  const { now, place, kept, damaged } = model;
  const isNeeded = (path: string) =>
    path === now.active ||
    above(place, now, path).length > 0 ||
    [...kept.values()].some(({ file }) => file === path);
  return [...damaged.keys()]
    .filter((path) => isNeeded(path) && isInFolder(model, path))
    .map((path) => ({ what: `${path} is damaged`, words: [basename(path)] }));
}

function brokenSnapshots({ now, broken, damaged }: Model): Wrong[] {
  return (
    [...broken]
      // A guest on a frozen layer is named while it runs; afterwards nothing tells what it wrote.
      .filter(([, { file }]) => now.files.get(file)?.contents == null || damaged.has(file))
      .map(([name, { file }]) => ({
        what: `snapshot ${name} cannot be read`,
        words: [`"${name}"`, basename(file), ...[...damaged.keys()].map((path) => basename(path))],
      }))
  );
}

function lostRecords(model: Model): Wrong[] {
  const meant = meantFiles(model);
  return (
    [...model.lost]
      // One that was recorded under another name is not lost.
      .filter(([, { file }]) => !meant.has(file))
      .map(([name, { file }]) => ({
        what: `the record of ${name} is lost`,
        words: [name, basename(file)],
      }))
  );
}

function unnamedLayers(model: Model): Wrong[] {
  const { now, place, lost, free } = model;
  const used = new Set([now.active, ...meantFiles(model), ...free]);
  for (const { file } of lost.values()) {
    used.add(file);
  }
  return [...now.files.values()]
    .filter(({ path, contents }) => contents !== null && !used.has(path) && isInFolder(model, path))
    .filter((file) => above(place, now, file.path).length === 0 && holdsData(place, now, file))
    .map(({ path }) => ({ what: `nothing names ${path}, which holds data`, words: [basename(path)] }));
}

function wrongDisk(model: Model): Wrong[] {
  const { now, place, kept } = model;
  const found: Wrong[] = [];
  const { active, explicit } = now;
  const owner = [...kept].find(
    ([name, { file }]) => file === active && now.records.get(name)?.internal !== true,
  )?.[0];
  const others = active === "" ? [] : above(place, now, active);
  if (owner !== undefined) {
    found.push({ what: `the disk is the frozen file of ${owner}`, words: [basename(active), owner] });
  } else if (others.length > 0) {
    const words = [active, ...others].map((path) => basename(path));
    found.push({ what: `others stand on the disk ${active}`, words });
  }
  if (!now.files.has(active)) {
    found.push({ what: "the instance has no disk", words: [INSTANCE] });
  }
  // Layers in it that are gone were merged, and are skipped.
  const listed = explicit.filter((path) => now.files.has(path) || !isInFolder(model, path));
  if (explicit.length > 0 && listed.join() !== chainOf(place, now, active).slice(1).join()) {
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
