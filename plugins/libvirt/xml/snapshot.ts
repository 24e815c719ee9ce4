import type { Consistency } from "../../../lib/engine/contract.ts";
import type { Format } from "../qcow2/header.ts";
import {
  DEFAULT_TARGET,
  diskTargets,
  managedTarget,
  readDisk,
  readDiskAt,
  setDiskAt,
  writtenDisks,
} from "./disks.ts";
import { copy, type Element, element, elements, find, prune, put, text } from "./document.ts";
import type { SnapshotEntry } from "./metadata.ts";
import { putMetadata, readMetadata } from "./metadata.ts";
import { ownFormats } from "./own-files.ts";

/** The contents of a `<domainsnapshot>`. */
export interface SnapshotDocument {
  readonly document: Element;
  readonly name: string;
  readonly parent: string | null;
  readonly comment: string;
  /** Milliseconds. */
  readonly createdAt: number;
  /** The recorded domain: the inactive one if both were recorded. */
  readonly domain: Element | undefined;
  /**
   * The targets of the disks that it covers, the system disk first; none if it is not an external disk snapshot.
   * The following lists have one member for each of them.
   */
  readonly targets: readonly string[];
  /** The files that the snapshot froze. */
  readonly frozen: readonly string[];
  /** The overlays that were created with it, according to libvirt's record; "" for none. */
  readonly overlays: readonly string[];
  /**
   * The files that the recorded domain writes, which libvirt's own tools would restore; "" for none. If the
   * snapshot is not an external disk snapshot, those of all disks that the domain writes.
   */
  readonly recorded: readonly string[];
  /** The file that the guest's memory was saved in; "" for none. */
  readonly memory: string;
  readonly consistency: Consistency;
  /** Name of the file in the instance's folder with the state of its firmware; absent for none. */
  readonly firmware?: string;
  /** What the snapshots of several instances at one moment have in common; absent for one taken alone. */
  readonly group?: string;
}

/** A comment as XML can represent it: characters that XML forbids or would change are replaced. */
export function describable(comment: string): string {
  return comment.replace(UNDESCRIBABLE, "\u{fffd}");
}

const UNDESCRIBABLE = /[^\t\n\x20-\x7e\u{a0}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu;

/** strata's entry for a snapshot: it has the comment only if libvirt's description cannot represent it. */
export function snapshotEntry(comment: string, entry: Omit<SnapshotEntry, "comment">): SnapshotEntry {
  return { ...entry, ...(describable(comment) === comment ? {} : { comment }) };
}

/**
 * The document that takes a disk-only snapshot of the disks that have an overlay in `overlays`, by their targets.
 */
export function takeDocument(
  domain: Element,
  name: string,
  comment: string,
  overlays: ReadonlyMap<string, string>,
  memory?: string,
): Element {
  const disks = diskTargets(domain).map((target) => {
    const file = overlays.get(target);
    return file === undefined
      ? element("disk", { name: target, snapshot: "no" })
      : element(
          "disk",
          { name: target, snapshot: "external", type: "file" },
          element("driver", { type: "qcow2" }),
          element("source", { file }),
        );
  });
  return element(
    "domainsnapshot",
    {},
    element("name", {}, name),
    comment === "" ? undefined : element("description", {}, describable(comment)),
    element("memory", memory === undefined ? { snapshot: "no" } : { snapshot: "external", file: memory }),
    element("disks", {}, ...disks),
  );
}

/** The document that makes libvirt record a snapshot without taking one. */
export function recordDocument(
  domain: Element,
  o: {
    readonly name: string;
    readonly comment: string;
    readonly parent: string | null;
    /** The overlays that were created with it, by the targets of their disks. */
    readonly overlays: ReadonlyMap<string, string>;
    /** Milliseconds. */
    readonly createdAt: number;
  },
): Element {
  const document = takeDocument(domain, o.name, o.comment, o.overlays);
  document.children.push(
    element("state", {}, "shutoff"),
    element("creationTime", {}, String(Math.floor(o.createdAt / 1000))),
    domain,
  );
  if (o.parent !== null) {
    document.children.push(element("parent", {}, element("name", {}, o.parent)));
  }
  return document;
}

export function readSnapshot(document: Element): SnapshotDocument {
  const inactive = find(document, "inactiveDomain");
  const domain = inactive ?? find(document, "domain");
  const description = text(find(document, "description"));
  const parent = text(find(document, "parent", "name"));
  const seconds = Number(text(find(document, "creationTime")));
  const name = text(find(document, "name"));
  const external = domain === undefined ? [] : externalDisks(document, domain);
  const entry = domain === undefined ? undefined : ownEntry(domain, name, external[0]);
  const disks = withFrozen(external, entry);
  // The description may have been changed since; then the entry's comment is older.
  const commented = entry?.comment !== undefined && describable(entry.comment) === description;
  return {
    document,
    name,
    parent: parent === "" ? null : parent,
    comment: commented ? (entry.comment ?? "") : description,
    createdAt: entry?.createdAt ?? seconds * 1000,
    domain,
    targets: disks.map(({ target }) => target),
    frozen: disks.map(({ frozen }) => frozen),
    overlays: disks.map(({ overlay }) => overlay),
    recorded:
      disks.length === 0 && domain !== undefined
        ? writtenDisks(domain).map(({ file }) => file)
        : disks.map(({ recorded }) => recorded),
    memory: find(document, "memory")?.attributes.file ?? "",
    consistency: entry?.consistency ?? consistencyOf(document),
    ...(entry?.firmware === undefined ? {} : { firmware: entry.firmware }),
    ...(entry?.group === undefined ? {} : { group: entry.group }),
  };
}

/** That of a snapshot without an entry of strata's: its memory, if it has one, is libvirt's own tools' to restore. */
function consistencyOf(document: Element): Consistency {
  const state = text(find(document, "state"));
  return state === "shutoff" || state === "" ? "stopped" : "crash";
}

/** A disk in libvirt's record. */
interface ExternalDisk {
  readonly target: string;
  readonly overlay: string;
  /** The file in the recorded definition. */
  readonly recorded: string;
  /** The file that a running guest wrote then, which may differ from its definition's; "" for none. */
  readonly live: string;
}

/** The disks whose files a snapshot froze, the system disk first; none if that one's was not. */
function externalDisks(document: Element, domain: Element): ExternalDisk[] {
  const system = managedTarget(domain);
  const live = find(document, "domain");
  const found = elements(find(document, "disks"), "disk").flatMap((disk) => {
    const { name: target = "", snapshot } = disk.attributes;
    const overlay = find(disk, "source")?.attributes.file ?? "";
    const then = live === undefined ? "" : readDiskAt(live, target);
    return snapshot === "external"
      ? [{ target, overlay, recorded: readDiskAt(domain, target), live: then }]
      : [];
  });
  const first = found.filter(({ target }) => target === system);
  return first.length === 0 ? [] : [...first, ...found.filter(({ target }) => target !== system)];
}

/** The disks with the files that the snapshot froze, those without one left out; none without the first. */
function withFrozen(
  disks: readonly ExternalDisk[],
  entry: SnapshotEntry | undefined,
): readonly (ExternalDisk & { readonly frozen: string })[] {
  const found = disks.map((disk, at) => {
    // Of the first one, the attributes of the entry tell.
    const noted = at === 0 ? entry : entry?.disks?.find(({ target }) => target === disk.target);
    return { ...disk, frozen: noted?.frozen || disk.live || disk.recorded };
  });
  return found[0]?.frozen ? found.filter(({ frozen }) => frozen !== "") : [];
}

/**
 * strata's entry in a recorded domain, unless it is another snapshot's: an old definition brings one back, and it
 * gets into the next record.
 */
function ownEntry(
  domain: Element,
  name: string,
  system: ExternalDisk | undefined,
): SnapshotEntry | undefined {
  const entry = readMetadata(domain)?.snapshot;
  const own =
    entry?.overlay === undefined ||
    entry.overlay === (system?.overlay ?? "") ||
    (entry.name === name && entry.frozen === (system?.recorded ?? readDisk(domain)));
  return own ? entry : undefined;
}

/**
 * The file that a snapshot of strata's froze, found in the text of its record, which takes a hundredth of the
 * time of parsing it. Undefined if the text is not certain, or the snapshot covers further disks; then parse it.
 */
export function frozenInText(xml: string): string | undefined {
  // Without comments and CDATA, whatever looks like an element is one.
  if (/<[!?]|<inactiveDomain\b/.test(xml)) {
    return undefined;
  }
  const [entry, ...others] = [...xml.matchAll(/<strata:snapshot\b[^<>]*/g)].map(([text]) => text);
  if (entry === undefined || others.length > 0 || /<strata:disk\b/.test(xml)) {
    return undefined;
  }
  const frozen = /\sfrozen="([^"&]+)"/.exec(entry)?.[1];
  const overlay = /\soverlay="([^"&]+)"/.exec(entry)?.[1];
  const external = xml.indexOf(`<disk name='${targetInText(xml)}' snapshot='external'`);
  if (external === -1 || xml.split("' snapshot='external'").length !== 2) {
    return undefined;
  }
  const disk = xml.slice(external, xml.indexOf("</disk>", external));
  // If the entry belongs to another record, parsing decides.
  return overlay === undefined || disk.includes(`<source file='${overlay}'`) ? frozen : undefined;
}

/** A snapshot's place: its parent, and the files of its layer. */
export type SnapshotPlace = Pick<SnapshotDocument, "name" | "parent" | "frozen" | "recorded">;

/** True if libvirt's own tools would restore another file than one that the snapshot froze. */
export function isRewritten({ frozen, recorded }: SnapshotPlace): boolean {
  return frozen.some((file, at) => recorded[at] !== file);
}

export function placeOf({ name, parent, frozen, recorded }: SnapshotDocument): SnapshotPlace {
  return { name, parent, frozen, recorded };
}

/** Like `placeOf`, for a snapshot of strata's, found in the text of its record as `frozenInText` does. */
export function placeInText(name: string, xml: string): SnapshotPlace | undefined {
  const frozen = frozenInText(xml);
  const [, below, ...more] = xml.split("<parent>");
  const parent = below === undefined ? null : /^\s*<name>([^<&]+)<\/name>/.exec(below)?.[1];
  const disks = xml.slice(xml.indexOf("<devices>")).split("<disk ");
  const managed = disks.find((disk) => disk.includes(`<target dev='${targetInText(xml)}'`)) ?? "";
  const [, source = "", ...others] = managed.split("<source ");
  const recorded = /^file='([^'&]+)'/.exec(source)?.[1];
  const certain = more.length === 0 && others.length === 0;
  if (!certain || frozen === undefined || parent === undefined || recorded === undefined) {
    return undefined;
  }
  return { name, parent, frozen: [frozen], recorded: [recorded] };
}

function targetInText(xml: string): string {
  return /<strata:instance\b[^<>]*\sdisk-target="([^"&]+)"/.exec(xml)?.[1] ?? DEFAULT_TARGET;
}

/** The formats of the files that a recorded domain names; see `ownFormats`. */
export function recordedFormats({ domain }: Pick<SnapshotDocument, "domain">): ReadonlyMap<string, Format> {
  return domain === undefined ? new Map() : ownFormats(domain, readMetadata(domain));
}

/** The parts of a record that can be rewritten. */
export interface SnapshotChange {
  readonly name?: string;
  readonly parent?: string | null;
  readonly comment?: string;
  /** The files that libvirt's own tools would restore, one for each of the snapshot's disks. */
  readonly recorded?: readonly string[];
  /** The files that libvirt's own tools consider the current disks, and remove when they restore. */
  readonly overlays?: readonly string[];
}

/** A snapshot's document with a change, for redefining it. */
export function amendedSnapshot(snapshot: SnapshotDocument, change: SnapshotChange): Element {
  const document = copy(snapshot.document);
  const { targets } = snapshot;
  for (const domain of recordedDomains(document)) {
    for (const [at, file] of (change.recorded ?? []).entries()) {
      setDiskAt(domain, targets[at] ?? "", file);
    }
  }
  if (change.name !== undefined) {
    put(document, element("name", {}, change.name));
  }
  if (change.parent !== undefined) {
    setParent(document, change.parent);
  }
  if (change.comment !== undefined) {
    put(document, element("description", {}, describable(change.comment)));
  }
  for (const [at, file] of (change.overlays ?? []).entries()) {
    setOverlay(document, targets[at] ?? "", file);
  }
  if (targets.length > 0) {
    setEntry(document, snapshot, change);
  }
  return document;
}

/** A snapshot's document whose domains have that name, which libvirt's own tools would restore with it. */
export function withDomainName(given: Element, name: string): Element {
  const document = copy(given);
  for (const domain of recordedDomains(document)) {
    put(domain, element("name", {}, name));
  }
  return document;
}

function setParent(document: Element, parent: string | null): void {
  prune(document, (child) => child.name === "parent");
  if (parent !== null) {
    put(document, element("parent", {}, element("name", {}, parent)));
  }
}

/** Updates strata's entry, which says to which record it belongs, and with which overlays it was created. */
function setEntry(document: Element, snapshot: SnapshotDocument, change: SnapshotChange): void {
  const { createdAt, targets } = snapshot;
  const overlays = change.overlays ?? snapshot.overlays;
  const name = change.name ?? snapshot.name;
  const { firmware, consistency, group } = snapshot;
  const [system, ...further] = targets.map((target, at) => ({
    target,
    frozen: snapshot.frozen[at] ?? "",
    overlay: overlays[at] ?? "",
  }));
  const { frozen = "", overlay = "" } = system ?? {};
  const entry = snapshotEntry(change.comment ?? snapshot.comment, {
    createdAt,
    frozen,
    overlay,
    name,
    ...(firmware === undefined ? {} : { firmware }),
    ...(consistency === "stopped" ? {} : { consistency }),
    ...(group === undefined ? {} : { group }),
    ...(further.length === 0 ? {} : { disks: further }),
  });
  for (const domain of recordedDomains(document)) {
    const metadata = readMetadata(domain);
    if (metadata !== undefined) {
      putMetadata(domain, { ...metadata, snapshot: entry });
    }
  }
}

function setOverlay(document: Element, target: string, overlay: string): void {
  const disk = elements(find(document, "disks"), "disk").find(({ attributes }) => attributes.name === target);
  if (disk !== undefined) {
    put(disk, element("source", { file: overlay }));
  }
}

function recordedDomains(document: Element): Element[] {
  return ["domain", "inactiveDomain"].flatMap((name) => find(document, name) ?? []);
}
