import { existsSync } from "node:fs";
import type { Removal } from "../../../lib/engine/contract.ts";
import type { Managed } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { readLayer } from "../layers/layers.ts";
import { layerOf } from "../layers/names.ts";
import type { Domain, DomainSnapshot } from "../rpc/index.ts";
import { parse } from "../xml/document.ts";
import { ownFormats } from "../xml/own-files.ts";
import { readDocument } from "../xml/reader.ts";
import {
  placeInText,
  placeOf,
  readSnapshot,
  type SnapshotDocument,
  type SnapshotPlace,
} from "../xml/snapshot.ts";

/**
 * libvirt's snapshots of a domain, read completely, in no particular order. There may be thousands, so they
 * are not cached. A snapshot that is deleted meanwhile, which only readers without the lock can see, is left
 * out.
 */
export async function listSnapshots(domain: Domain): Promise<SnapshotDocument[]> {
  const snapshots = await domain.listSnapshots();
  const found = await Promise.all(
    snapshots.map((snapshot) => unlessGone(() => readRecord(snapshot, readDocument))),
  );
  return found.filter((snapshot) => snapshot !== null);
}

async function readRecord(snapshot: DomainSnapshot, read = parse): Promise<SnapshotDocument> {
  return asThere(readSnapshot(await read(await snapshot.getXml())));
}

/** What `ask`, which reads a snapshot, resolves to; null if the snapshot does not exist. */
async function unlessGone<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (isLibvirt(error, "NO_DOMAIN_SNAPSHOT")) {
      return null;
    }
    throw error;
  }
}

/** The children of a snapshot, read completely. */
export async function listChildren(domain: Domain, name: string): Promise<SnapshotDocument[]> {
  const children = await domain.snapshotOfName(name).listChildren();
  return Promise.all(children.map((child) => readRecord(child)));
}

/** A record as libvirt returns it, with the files that its snapshot froze. */
export interface SnapshotText extends SnapshotPlace {
  readonly xml: string;
}

/**
 * All records, with each snapshot's place. Those whose text is enough are not parsed, because parsing takes
 * long.
 */
export async function listRecords(domain: Domain): Promise<SnapshotText[]> {
  const found = await Promise.all(
    (await domain.listSnapshots()).map((snapshot) => readRecordText(domain, snapshot.name)),
  );
  return found.filter((record) => record !== null);
}

/** The record of that name with its snapshot's place, or null. */
export async function readRecordText(domain: Domain, name: string): Promise<SnapshotText | null> {
  const xml = await unlessGone(() => domain.snapshotOfName(name).getXml());
  if (xml === null) {
    return null;
  }
  const place = placeInText(name, xml) ?? placeOf(readSnapshot(await parse(xml)));
  return { ...asThere(place), xml };
}

/**
 * Corrects what a snapshot froze by the files on the disk: when libvirt deletes a snapshot, it merges the
 * layer and the one above under the lower one's name and says so in its own record, where strata's entry
 * still has the other.
 */
function asThere<T extends Pick<SnapshotPlace, "frozen" | "recorded">>(place: T): T {
  const { frozen, recorded } = place;
  const moved = (file: string, at: number): boolean => {
    const other = recorded[at] ?? "";
    return file !== other && other !== "" && !existsSync(file) && existsSync(other);
  };
  return frozen.some(moved)
    ? { ...place, frozen: frozen.map((file, at) => (moved(file, at) ? (recorded[at] ?? file) : file)) }
    : place;
}

/** The snapshot of that name, or null. */
export async function lookupSnapshot(domain: Domain, name: string): Promise<SnapshotDocument | null> {
  return unlessGone(() => readRecord(domain.snapshotOfName(name)));
}

/** The parent and children of a snapshot that is to be deleted, or null. */
export async function lookupRemoval(domain: Domain, name: string): Promise<Removal | null> {
  return unlessGone(async () => {
    const snapshot = domain.snapshotOfName(name);
    const [{ parent }, children] = await Promise.all([readRecord(snapshot), snapshot.listChildren()]);
    return { name, parent, children: children.map((child) => child.name) };
  });
}

/** Name of libvirt's current snapshot, or null. */
export async function currentName(domain: Domain): Promise<string | null> {
  return (await domain.currentSnapshot())?.name ?? null;
}

/**
 * The snapshot that a layer stands on: the nearest file below that a snapshot froze. Layers of deleted
 * snapshots in between are skipped, since a deletion moves children to the deleted snapshot's parent.
 */
export async function standsOn(
  managed: Managed,
  snapshots: readonly Pick<SnapshotDocument, "name" | "frozen">[],
  activeLayer: string,
): Promise<string | null> {
  const byFile = ownersOf(snapshots);
  const own = ownFormats(managed.document, managed.metadata);
  const seen = new Set<string>();
  // A definition without the disk stands on nothing.
  for (
    let file: string | null = activeLayer === "" ? null : activeLayer;
    file !== null && !seen.has(file) && !own.has(file);
  ) {
    seen.add(file);
    const header: { backing: string | null } = await readLayer(managed.name, file);
    if (header.backing === null) {
      return null;
    }
    const backing = layerOf(managed.metadata.folder, header.backing);
    const name = byFile.get(backing);
    if (name !== undefined) {
      return name;
    }
    file = backing;
  }
  return null;
}

/** The snapshots by the files that they froze. */
export function ownersOf(
  snapshots: readonly Pick<SnapshotDocument, "name" | "frozen">[],
): ReadonlyMap<string, string> {
  return new Map(snapshots.flatMap(({ name, frozen }) => frozen.map((file) => [file, name] as const)));
}
