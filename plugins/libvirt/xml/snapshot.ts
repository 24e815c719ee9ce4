import { copy, type Element, element, elements, find, prune, put, text } from "./document.ts";
import { diskTargets, ROOT_DISK, readDisk, rootTarget, setDisk } from "./domain.ts";
import type { SnapshotNote } from "./metadata.ts";
import { putMetadata, readMetadata } from "./metadata.ts";

/** What a `<domainsnapshot>` tells. */
export interface SnapshotDocument {
  readonly document: Element;
  readonly name: string;
  readonly parent: string | null;
  readonly comment: string;
  /** Milliseconds. */
  readonly createdAt: number;
  /** The recorded domain: the inactive one where both were recorded. */
  readonly domain: Element | undefined;
  /** The file that the snapshot froze; null for one that is not an external disk snapshot. */
  readonly frozen: string | null;
}

/** A comment as XML can carry it: what XML forbids or would change is replaced. */
export function describable(comment: string): string {
  return comment.replace(UNDESCRIBABLE, "\u{fffd}");
}

const UNDESCRIBABLE = /[^\t\n\x20-\x7e\u{a0}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu;

/** The note to keep beside a snapshot: the comment is in it only where the description falls short. */
export function snapshotNote(comment: string, createdAt: number, frozen: string): SnapshotNote {
  return { createdAt, frozen, ...(describable(comment) === comment ? {} : { comment }) };
}

/** The document that takes a disk-only snapshot of the root disk into a new overlay. */
export function takeDocument(domain: Element, name: string, comment: string, overlay: string): Element {
  const root = rootTarget(domain);
  const disks = diskTargets(domain).map((target) =>
    target === root
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

export function readSnapshot(document: Element): SnapshotDocument {
  const inactive = find(document, "inactiveDomain");
  const domain = inactive ?? find(document, "domain");
  const note = domain === undefined ? undefined : readMetadata(domain)?.snapshot;
  const description = text(find(document, "description"));
  const parent = text(find(document, "parent", "name"));
  const seconds = Number(text(find(document, "creationTime")));
  const root = domain === undefined ? undefined : rootTarget(domain);
  const external = elements(find(document, "disks"), "disk").some(
    (disk) => disk.attributes.name === root && disk.attributes.snapshot === "external",
  );
  // Someone may have changed the description since; then the note's comment is the older one.
  const noted = note?.comment !== undefined && describable(note.comment) === description;
  return {
    document,
    name: text(find(document, "name")),
    parent: parent === "" ? null : parent,
    comment: noted ? (note.comment ?? "") : description,
    createdAt: note?.createdAt ?? seconds * 1000,
    domain,
    frozen: external && domain !== undefined ? note?.frozen || readDisk(domain) || null : null,
  };
}

/**
 * The file that a snapshot of ours froze, told from the text of its record, which takes a hundredth of the
 * time of reading it. Undefined where the text does not tell it for certain; a reading does.
 */
export function frozenInText(xml: string): string | undefined {
  // Where there is neither comment nor CDATA, what looks like an element is one.
  if (/<[!?]|<inactiveDomain\b/.test(xml)) return undefined;
  const notes = [...xml.matchAll(/<strata:snapshot\b[^<>]*/g)];
  const [frozen, ...others] = notes.map(([note]) => /\sfrozen="([^"&]+)"/.exec(note)?.[1]);
  const external = xml.includes(`<disk name='${targetInText(xml)}' snapshot='external'`);
  return external && others.length === 0 ? frozen : undefined;
}

/** Where a snapshot is among others, and its layer among files. */
export interface SnapshotPlace extends Pick<SnapshotDocument, "name" | "parent" | "frozen"> {
  /** The file that the recorded domain writes, which libvirt's own tools would restore; "" for none. */
  readonly recorded: string;
}

/** True where libvirt's own tools would restore another file than the one that the snapshot froze. */
export function isRewritten({ frozen, recorded }: SnapshotPlace): boolean {
  return frozen !== null && recorded !== frozen;
}

export function placeOf({ name, parent, frozen, domain }: SnapshotDocument): SnapshotPlace {
  return { name, parent, frozen, recorded: domain === undefined ? "" : readDisk(domain) };
}

/** `placeOf` of a snapshot of ours, told from the text of its record as `frozenInText` does. */
export function placeInText(name: string, xml: string): SnapshotPlace | undefined {
  const frozen = frozenInText(xml);
  const [, below, ...more] = xml.split("<parent>");
  const parent = below === undefined ? null : /^\s*<name>([^<&]+)<\/name>/.exec(below)?.[1];
  const disks = xml.slice(xml.indexOf("<devices>")).split("<disk ");
  const root = disks.find((disk) => disk.includes(`<target dev='${targetInText(xml)}'`)) ?? "";
  const [, source = "", ...others] = root.split("<source ");
  const recorded = /^file='([^'&]+)'/.exec(source)?.[1];
  const certain = more.length === 0 && others.length === 0;
  if (!certain || frozen === undefined || parent === undefined || recorded === undefined) return undefined;
  return { name, parent, frozen, recorded };
}

function targetInText(xml: string): string {
  return /<strata:instance\b[^<>]*\sdisk-target="([^"&]+)"/.exec(xml)?.[1] ?? ROOT_DISK;
}

/** The same snapshot with other name, parent, comment or file that is restored, to be redefined. */
export function amendedSnapshot(
  snapshot: SnapshotDocument,
  change: { name?: string; parent?: string | null; comment?: string; recorded?: string },
): Element {
  const document = copy(snapshot.document);
  for (const domain of recordedDomains(document))
    if (change.recorded !== undefined) setDisk(domain, change.recorded);
  if (change.name !== undefined) put(document, element("name", {}, change.name));
  if (change.parent !== undefined) {
    prune(document, (child) => child.name === "parent");
    if (change.parent !== null) put(document, element("parent", {}, element("name", {}, change.parent)));
  }
  if (change.comment !== undefined) {
    put(document, element("description", {}, describable(change.comment)));
    for (const domain of recordedDomains(document)) {
      const metadata = readMetadata(domain);
      if (metadata !== undefined)
        putMetadata(domain, {
          ...metadata,
          snapshot: snapshotNote(change.comment, snapshot.createdAt, snapshot.frozen ?? ""),
        });
    }
  }
  return document;
}

function recordedDomains(document: Element): Element[] {
  return ["domain", "inactiveDomain"].flatMap((name) => find(document, name) ?? []);
}
