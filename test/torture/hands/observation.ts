import { readdir, readFile, readlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { isPartialPath, layerOf } from "../../../plugins/libvirt/layers/names.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { type Domain, DomainXmlFlags } from "../../../plugins/libvirt/rpc/index.ts";
import { elements, find, parse, text } from "../../../plugins/libvirt/xml/document.ts";
import { INSTANCE, type World } from "../world.ts";
import { type FileState, lookAt } from "./contents.ts";

/** One of libvirt's snapshots, with every file that its record may mean. */
export interface RecordState {
  readonly name: string;
  readonly parent: string | null;
  readonly internal: boolean;
  readonly xml: string;
  /** What it froze by our note, by the recorded domain, and by the overlay that it names. */
  readonly candidates: readonly string[];
}

/** What is there: libvirt's definition and records, and all disk images. Nothing of it is asked of strata. */
export interface Observation {
  /** The definition. */
  readonly xml: string;
  /** The file that the definition writes; "" for none. */
  readonly active: string;
  /** Files of the definition's explicit chain below that. */
  readonly explicit: readonly string[];
  /** The file that a guest writes now. */
  readonly live: string | null;
  readonly saved: boolean;
  readonly files: ReadonlyMap<string, FileState>;
  readonly records: ReadonlyMap<string, RecordState>;
}

/** Where the instance of a world is. */
export interface Place {
  readonly id: string;
  readonly folder: string;
  /** For files that are no business of strata's. */
  readonly elsewhere: string;
}

/** All that is there of the instance; `also` names files outside of its folder that matter. */
export async function observe(world: World, place: Place, also: Iterable<string>): Promise<Observation> {
  const domain = await world.fixture.connection.lookupDomainByUuid(place.id);
  const xml = await domain.getXml(DomainXmlFlags.INACTIVE);
  const disk = await rootDisk(xml);
  const live = (await domain.isActive()) ? (await rootDisk(await domain.getXml())).file : null;
  const records = await readRecords(domain);
  const entries = await readdir(place.folder, { withFileTypes: true });
  const inFolder = entries.filter((entry) => entry.isFile()).map(({ name }) => join(place.folder, name));
  const paths = new Set([...inFolder, ...also, disk.file, ...(live === null ? [] : [live])]);
  for (const record of records.values()) {
    for (const path of record.candidates) {
      paths.add(path);
    }
  }
  const files = new Map<string, FileState>();
  const scratch = join(world.daemon.folder, "hands.raw");
  // What is found on the way is looked at too.
  for (const path of paths) {
    if (path === "" || isStandIn(place.folder, path)) {
      continue;
    }
    const state = await lookAt(path, scratch);
    if (state === undefined) {
      continue;
    }
    files.set(path, state);
    const on = below(place, state);
    if (on !== null) {
      paths.add(on);
    }
  }
  const saved = await domain.hasManagedSaveImage();
  return { xml, active: disk.file, explicit: disk.chain, live, saved, files, records };
}

function isStandIn(folder: string, path: string): boolean {
  return layerOf(folder, path) !== path || isPartialPath(folder, path);
}

async function rootDisk(xml: string): Promise<{ file: string; chain: string[] }> {
  const document = await parse(xml);
  const disk = elements(find(document, "devices"), "disk").find(
    (each) => find(each, "target")?.attributes.dev === "vda",
  );
  const chain = [];
  for (let at = find(disk, "backingStore"); at !== undefined; at = find(at, "backingStore")) {
    const file = find(at, "source")?.attributes.file;
    if (file !== undefined) {
      chain.push(file);
    }
  }
  return { file: find(disk, "source")?.attributes.file ?? "", chain };
}

async function readRecords(domain: Domain): Promise<ReadonlyMap<string, RecordState>> {
  const records = new Map<string, RecordState>();
  for (const snapshot of await domain.listSnapshots()) {
    const xml = await snapshot.getXml();
    const document = await parse(xml);
    const disk = elements(find(document, "disks"), "disk").find(
      ({ attributes }) => attributes.name === "vda",
    );
    const parent = text(find(document, "parent", "name")) || null;
    const candidates = new Set<string>();
    const note = /<strata:snapshot\b[^<>]*\sfrozen="([^"]+)"/.exec(xml.replaceAll("'", '"'))?.[1];
    if (note !== undefined) {
      candidates.add(note);
    }
    for (const name of ["inactiveDomain", "domain"]) {
      const root = elements(find(document, name, "devices"), "disk").find(
        (each) => find(each, "target")?.attributes.dev === "vda",
      );
      const file = find(root, "source")?.attributes.file;
      if (file !== undefined) {
        candidates.add(file);
      }
    }
    const overlay = find(disk, "source")?.attributes.file;
    const header = overlay === undefined ? null : await readHeader(overlay).catch(() => null);
    if (header !== null && header.backing !== null) {
      candidates.add(header.backing);
    }
    const internal = disk?.attributes.snapshot === "internal";
    const { name } = snapshot;
    records.set(name, { name, parent, internal, xml, candidates: [...candidates] });
  }
  return records;
}

/** The layer or other file that a file stands on, flattened copies looked through; null for none. */
export function below(place: Place, { backing }: Pick<FileState, "backing">): string | null {
  return backing === null ? null : layerOf(place.folder, backing);
}

/** The file at `path` and all below it, as far as they are there; the last may be missing. */
export function chainOf(place: Place, { files }: Observation, path: string): string[] {
  const chain = [];
  for (let at: string | null = path; at !== null; ) {
    chain.push(at);
    const file: FileState | undefined = files.get(at);
    at = file === undefined ? null : below(place, file);
  }
  return chain;
}

/** Files that stand on the one at `path`. */
export function above(place: Place, { files }: Observation, path: string): string[] {
  return [...files.values()].filter((file) => below(place, file) === path).map((file) => file.path);
}

/** True for a file that shows something else than the one below it. */
export function holdsData(place: Place, { files }: Observation, file: FileState): boolean {
  // The one below may be none that can be read here, as the seed is.
  if (file.empty) {
    return false;
  }
  const on = below(place, file);
  return on === null || files.get(on)?.contents !== file.contents;
}

/** Files of the world's disk that its guests have open and that have no name any more. */
export async function deletedUnderGuest(world: World): Promise<string[]> {
  const found = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) {
      continue;
    }
    const name = await readFile(`/proc/${entry}/comm`, "utf8").catch(() => "");
    if (!name.startsWith("qemu-system")) {
      continue;
    }
    for (const fd of await readdir(`/proc/${entry}/fd`).catch((): string[] => [])) {
      const target = await readlink(`/proc/${entry}/fd/${fd}`).catch(() => "");
      if (target.startsWith(`${world.daemon.pool}/`) && target.endsWith(" (deleted)")) {
        found.push(basename(target));
      }
    }
  }
  return found;
}

/** The instance of a world that has just been made or reset. */
export async function placeOf(world: World): Promise<Place> {
  const { uuid: id } = await world.fixture.connection.lookupDomainByName(INSTANCE);
  const { folder } = await world.fixture.layers({ id });
  return { id, folder, elsewhere: join(world.daemon.folder, "elsewhere") };
}
