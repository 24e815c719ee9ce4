import { DEFAULT_TARGET, diskTargets, managedTarget, readDisk, setDisk } from "./disks.ts";
import { copy, type Element, element, elements, find, prune, put, text } from "./document.ts";
import type { SnapshotEntry } from "./metadata.ts";
import { putMetadata, readMetadata } from "./metadata.ts";

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
  /** The file that the snapshot froze; null if it is not an external disk snapshot. */
  readonly frozen: string | null;
  /** The overlay that was created with it, according to libvirt's record; "" for none. */
  readonly overlay: string;
  /** The file that the recorded domain writes, which libvirt's own tools would restore; "" for none. */
  readonly recorded: string;
  /** The file that the guest's memory was saved in; "" for none. */
  readonly memory: string;
  /** Name of the file in the instance's folder with the state of its firmware; absent for none. */
  readonly firmware?: string;
}

/** A comment as XML can represent it: characters that XML forbids or would change are replaced. */
export function describable(comment: string): string {
  return comment.replace(UNDESCRIBABLE, "\u{fffd}");
}

const UNDESCRIBABLE = /[^\t\n\x20-\x7e\u{a0}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu;

/** strata's entry for a snapshot: it has the comment only if libvirt's description cannot represent it. */
export function snapshotEntry(
  comment: string,
  entry: Pick<SnapshotEntry, "createdAt" | "frozen" | "overlay" | "name" | "taken" | "stamp" | "firmware">,
): SnapshotEntry {
  return { ...entry, ...(describable(comment) === comment ? {} : { comment }) };
}

/** The document that takes a disk-only snapshot of the managed disk into a new overlay. */
export function takeDocument(domain: Element, name: string, comment: string, overlay: string): Element {
  const managed = managedTarget(domain);
  const disks = diskTargets(domain).map((target) =>
    target === managed
      ? element(
          "disk",
          { name: target, snapshot: "external", type: "file" },
          element("driver", { type: "qcow2" }),
          element("source", { file: overlay }),
        )
      : element("disk", { name: target, snapshot: "no" }),
  );
  return element(
    "domainsnapshot",
    {},
    element("name", {}, name),
    comment === "" ? undefined : element("description", {}, describable(comment)),
    element("memory", { snapshot: "no" }),
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
    readonly overlay: string;
    /** Milliseconds. */
    readonly createdAt: number;
  },
): Element {
  const document = takeDocument(domain, o.name, o.comment, o.overlay);
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
  const managed = domain === undefined ? undefined : managedTarget(domain);
  const external = elements(find(document, "disks"), "disk").find(
    (disk) => disk.attributes.name === managed && disk.attributes.snapshot === "external",
  );
  const overlay = find(external, "source")?.attributes.file ?? "";
  const recorded = domain === undefined ? "" : readDisk(domain);
  const name = text(find(document, "name"));
  const entry = domain === undefined ? undefined : ownEntry(domain, { name, overlay, recorded });
  // The description may have been changed since; then the entry's comment is older.
  const commented = entry?.comment !== undefined && describable(entry.comment) === description;
  return {
    document,
    name,
    parent: parent === "" ? null : parent,
    comment: commented ? (entry.comment ?? "") : description,
    createdAt: entry?.createdAt ?? seconds * 1000,
    domain,
    frozen: external === undefined ? null : entry?.frozen || liveDisk(document) || recorded || null,
    overlay,
    recorded,
    memory: find(document, "memory")?.attributes.file ?? "",
    ...(entry?.firmware === undefined ? {} : { firmware: entry.firmware }),
  };
}

/**
 * strata's entry in a recorded domain, unless it is another snapshot's: an old definition brings one back, and it
 * gets into the next record.
 */
function ownEntry(
  domain: Element,
  { name, overlay, recorded }: Pick<SnapshotDocument, "name" | "overlay" | "recorded">,
): SnapshotEntry | undefined {
  const entry = readMetadata(domain)?.snapshot;
  const own =
    entry?.overlay === undefined ||
    entry.overlay === overlay ||
    (entry.name === name && entry.frozen === recorded);
  return own ? entry : undefined;
}

/**
 * The file that a running guest wrote when the snapshot was taken, which may differ from its definition's; ""
 * for none.
 */
function liveDisk(document: Element): string {
  const live = find(document, "domain");
  return live === undefined ? "" : readDisk(live);
}

/**
 * The file that a snapshot of strata's froze, found in the text of its record, which takes a hundredth of the
 * time of parsing it. Undefined if the text is not certain; then parse it.
 */
export function frozenInText(xml: string): string | undefined {
  // Without comments and CDATA, whatever looks like an element is one.
  if (/<[!?]|<inactiveDomain\b/.test(xml)) {
    return undefined;
  }
  const [entry, ...others] = [...xml.matchAll(/<strata:snapshot\b[^<>]*/g)].map(([text]) => text);
  if (entry === undefined || others.length > 0) {
    return undefined;
  }
  const frozen = /\sfrozen="([^"&]+)"/.exec(entry)?.[1];
  const overlay = /\soverlay="([^"&]+)"/.exec(entry)?.[1];
  const external = xml.indexOf(`<disk name='${targetInText(xml)}' snapshot='external'`);
  if (external === -1) {
    return undefined;
  }
  const disk = xml.slice(external, xml.indexOf("</disk>", external));
  // If the entry belongs to another record, parsing decides.
  return overlay === undefined || disk.includes(`<source file='${overlay}'`) ? frozen : undefined;
}

/** A snapshot's place: its parent, and the files of its layer. */
export type SnapshotPlace = Pick<SnapshotDocument, "name" | "parent" | "frozen" | "recorded">;

/** True if libvirt's own tools would restore another file than the one that the snapshot froze. */
export function isRewritten({ frozen, recorded }: SnapshotPlace): boolean {
  return frozen !== null && recorded !== frozen;
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
  return { name, parent, frozen, recorded };
}

function targetInText(xml: string): string {
  return /<strata:instance\b[^<>]*\sdisk-target="([^"&]+)"/.exec(xml)?.[1] ?? DEFAULT_TARGET;
}

/** The parts of a record that can be rewritten. */
export interface SnapshotChange {
  readonly name?: string;
  readonly parent?: string | null;
  readonly comment?: string;
  /** The file that libvirt's own tools would restore. */
  readonly recorded?: string;
  /** The file that libvirt's own tools consider the current disk, and remove when they restore. */
  readonly overlay?: string;
}

/** A snapshot's document with a change, for redefining it. */
export function amendedSnapshot(snapshot: SnapshotDocument, change: SnapshotChange): Element {
  const document = copy(snapshot.document);
  for (const domain of recordedDomains(document)) {
    if (change.recorded !== undefined) {
      setDisk(domain, change.recorded);
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
  if (change.overlay !== undefined && snapshot.frozen !== null) {
    setOverlay(document, change.overlay);
  }
  if (snapshot.frozen !== null) {
    setEntry(document, { ...snapshot, frozen: snapshot.frozen }, change);
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

/** Updates strata's entry, which says to which record it belongs, and with which overlay it was created. */
function setEntry(
  document: Element,
  { createdAt, frozen, ...snapshot }: SnapshotDocument & { readonly frozen: string },
  change: SnapshotChange,
): void {
  const overlay = change.overlay ?? snapshot.overlay;
  const name = change.name ?? snapshot.name;
  const { firmware } = snapshot;
  const entry = snapshotEntry(change.comment ?? snapshot.comment, {
    createdAt,
    frozen,
    overlay,
    name,
    ...(firmware === undefined ? {} : { firmware }),
  });
  for (const domain of recordedDomains(document)) {
    const metadata = readMetadata(domain);
    if (metadata !== undefined) {
      putMetadata(domain, { ...metadata, snapshot: entry });
    }
  }
}

function setOverlay(document: Element, overlay: string): void {
  const domain = find(document, "inactiveDomain") ?? find(document, "domain");
  const managed = domain === undefined ? undefined : managedTarget(domain);
  const disk = elements(find(document, "disks"), "disk").find(
    ({ attributes }) => attributes.name === managed,
  );
  if (disk !== undefined) {
    put(disk, element("source", { file: overlay }));
  }
}

function recordedDomains(document: Element): Element[] {
  return ["domain", "inactiveDomain"].flatMap((name) => find(document, name) ?? []);
}
