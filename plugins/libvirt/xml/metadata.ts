import {
  CONSISTENCIES,
  type Consistency,
  type IdMap,
  type InstanceRecord,
  type Mount,
} from "../../../lib/engine/contract.ts";
import { type Operation, readOperation, type Unusable } from "../journal/entry.ts";
import type { Format } from "../qcow2/header.ts";
import { type Element, element, elements, find, prune, put, text } from "./document.ts";

/** Namespace of strata's metadata in a domain's `<metadata>`. */
export const NAMESPACE = "urn:strata:1";

/** strata's metadata in a domain, and through it in every snapshot's recorded domain. */
export interface Metadata {
  readonly record: InstanceRecord;
  /** Name of the instance, where it was adopted under another one than its domain has. */
  readonly name?: string;
  /** Folder of the layers, absolute. */
  readonly folder: string;
  /** The configured mounts, whether their sources exist or not. The domain's devices are made from them. */
  readonly mounts: readonly Mount[];
  /** The own disk of an adopted domain, absolute. It is never removed. */
  readonly adopted?: string;
  /** Target of the system disk, if it is not the default. */
  readonly target?: string;
  /** The files of an adopted domain that are no qcow2 files on their own. Absent for none. */
  readonly own?: readonly OwnFile[];
  /** Targets of the disks that snapshots leave out, as the user asked. Absent for none. */
  readonly excluded?: readonly string[];
  /** Present in the record of a snapshot that came with an import: its guest has no host key of this instance yet. */
  readonly imported?: true;
  /** Host port forwarded to the guest's sshd, in session mode. */
  readonly sshPort?: number;
  /**
   * Written by versions before 0.2: disks that restores have left, absolute. Since then,
   * `pending-removals.ts` has them.
   */
  readonly pendingRemovals?: readonly string[];
  /** The operation in progress when this was written; see `journal/entry.ts`. */
  readonly operation?: Operation | Unusable;
  /**
   * Present after a restore with memory: the next start loads that of this snapshot, which is in this file, absolute.
   */
  readonly resume?: { readonly snapshot: string; readonly memory: string };
  /**
   * The entry of a snapshot that is being taken: what libvirt cannot record, and what finishing it needs.
   */
  readonly snapshot?: SnapshotEntry;
}

/** A file that a domain brought along, as it named it: a release gives it back so. */
export interface OwnFile {
  readonly target: string;
  /** Absolute path of the file or device. */
  readonly file: string;
  readonly format: Format;
  /** How the definition names it. */
  readonly type: "file" | "block" | "volume";
  /** Of a volume: pool and name. */
  readonly pool?: string;
  readonly volume?: string;
}

/**
 * The version that is written beside own files: a strata that does not know these would look for a header in a raw
 * disk. What is read is version 1 of the record.
 */
const WITH_OWN_FILES = 2;

export interface SnapshotEntry {
  /** Milliseconds; libvirt keeps seconds. */
  readonly createdAt: number;
  /**
   * The file that the snapshot freezes, absolute. libvirt changes the one that it records when other
   * snapshots are deleted.
   */
  readonly frozen: string;
  /**
   * The overlay that is created with the snapshot, absolute. No other snapshot's record has it, so an entry
   * that an old definition brought back, into another snapshot's record, can be recognized. Absent before
   * 0.2.
   */
  readonly overlay?: string;
  /** Name of the snapshot, and the value of the instance's counter, while it is being taken. */
  readonly name?: string;
  readonly taken?: number;
  /** The stamp of the frozen file, as `stampText` of `pending-removals.ts` writes it. */
  readonly stamp?: string;
  /** The file in the instance's folder with the state of its firmware, if that keeps any; its name. */
  readonly firmware?: string;
  /** How consistent it is; absent for a snapshot of a stopped instance. */
  readonly consistency?: Exclude<Consistency, "stopped">;
  /** Present while it is being taken, if the power is cut at that moment. */
  readonly cut?: "yes";
  /** The file that the memory is saved in, absolute. */
  readonly memory?: string;
  /** What the snapshots of several instances at one moment have in common. */
  readonly group?: string;
  /** Present if the comment has characters that XML cannot represent. */
  readonly comment?: string;
  /** The further disks, each with what the attributes say of the system disk. Absent for none. */
  readonly disks?: readonly DiskEntry[];
}

/** A further disk in the entry of a snapshot. */
export interface DiskEntry {
  readonly target: string;
  readonly frozen: string;
  readonly overlay?: string;
  readonly stamp?: string;
}

/** The namespace of an element, given the elements around it, any of which may declare it. */
function namespaceOf(element: Element, around: readonly (Element | undefined)[]): string | undefined {
  const [prefix = ""] = element.name.includes(":") ? element.name.split(":") : [];
  const key = prefix === "" ? "xmlns" : `xmlns:${prefix}`;
  return [element, ...around].find((each) => each?.attributes[key] !== undefined)?.attributes[key];
}

/** True for strata's own element in a domain's metadata. */
function isOurs(domain: Element): (child: Element) => boolean {
  const around = [find(domain, "metadata"), domain];
  return (child) => namespaceOf(child, around) === NAMESPACE;
}

/** strata's metadata in a domain document; undefined for a foreign domain. */
export function readMetadata(domain: Element): Metadata | undefined {
  const own = elements(find(domain, "metadata")).find(isOurs(domain));
  return own === undefined ? undefined : readOwn(own);
}

/** strata's metadata in the element that libvirt returns. */
export function readOwn(element: Element): Metadata {
  const root = withNames(element, (name) => name.replace(/^.*:/, ""));
  const a = root.attributes;
  const operation = find(root, "operation")?.attributes;
  const entry = find(root, "snapshot");
  const resume = find(root, "resume")?.attributes;
  const pendingRemovals = elements(root, "discarded").flatMap(({ attributes: { file } }) => file ?? []);
  const own = elements(root, "own-file").map(readOwnFile);
  const excluded = elements(root, "excluded-disk").flatMap(({ attributes: { target } }) => target ?? []);
  return {
    record: readInstanceRecord(root),
    folder: a.folder ?? "",
    mounts: elements(root, "mount").map(readMount),
    ...(a.name === undefined ? {} : { name: a.name }),
    ...(a["adopted-disk"] === undefined ? {} : { adopted: a["adopted-disk"] }),
    ...(a["disk-target"] === undefined ? {} : { target: a["disk-target"] }),
    ...(own.length === 0 ? {} : { own }),
    ...(excluded.length === 0 ? {} : { excluded }),
    ...(a.imported === "yes" ? { imported: true } : {}),
    ...(a["ssh-port"] === undefined ? {} : { sshPort: Number(a["ssh-port"]) }),
    ...(pendingRemovals.length === 0 ? {} : { pendingRemovals }),
    ...(operation === undefined ? {} : { operation: readOperation(operation) }),
    ...(resume === undefined
      ? {}
      : { resume: { snapshot: resume.snapshot ?? "", memory: resume.memory ?? "" } }),
    ...(entry === undefined ? {} : { snapshot: readSnapshotEntry(entry) }),
  };
}

function readOwnFile({
  attributes: { target = "", file = "", format, type, pool, volume },
}: Element): OwnFile {
  return {
    target,
    file,
    // Never taken for qcow2 unless that is certain.
    format: format === "qcow2" ? format : "raw",
    type: type === "block" || type === "volume" ? type : "file",
    ...(pool === undefined ? {} : { pool }),
    ...(volume === undefined ? {} : { volume }),
  };
}

/** Members of the record that this version does not know. What cannot be read is left out: it is not ours. */
function readFurther(json: string): object {
  try {
    const found: unknown = JSON.parse(json || "{}");
    return typeof found === "object" && found !== null ? found : {};
  } catch {
    return {};
  }
}

/** Those that have a place of their own; the compiler asks for each. */
const KNOWN: Readonly<Record<keyof InstanceRecord, true>> = {
  version: true,
  image: true,
  username: true,
  deleted: true,
  snapshotsTaken: true,
  cloudInstanceId: true,
  createdAt: true,
  hostKey: true,
  shutdownAt: true,
  startingAt: true,
  restoredAt: true,
  transit: true,
};

function furtherElement(record: InstanceRecord): Element | undefined {
  const further = Object.entries(record).filter(
    ([name, value]) => !Object.hasOwn(KNOWN, name) && value !== undefined,
  );
  return further.length === 0 ? undefined : element("further", {}, asciiJson(Object.fromEntries(further)));
}

function readInstanceRecord(root: Element): InstanceRecord {
  const a = root.attributes;
  const image = find(root, "image")?.attributes ?? {};
  const hostKey = text(find(root, "host-key"));
  return {
    ...readFurther(text(find(root, "further"))),
    version: readVersion(root),
    image: { sha256: image.sha256 ?? "", release: image.release ?? "", os: image.os ?? "" },
    username: a.username ?? "",
    deleted: a.deleted === "yes",
    snapshotsTaken: Number(a["snapshots-taken"] ?? 0),
    cloudInstanceId: a["cloud-instance-id"] ?? "",
    createdAt: Number(a["created-at"] ?? 0),
    ...(hostKey === "" ? {} : { hostKey }),
    ...(a["shutdown-at"] === undefined ? {} : { shutdownAt: Number(a["shutdown-at"]) }),
    ...(a["starting-at"] === undefined ? {} : { startingAt: Number(a["starting-at"]) }),
    ...(a["restored-at"] === undefined ? {} : { restoredAt: Number(a["restored-at"]) }),
    ...readTransit(a),
  };
}

function readTransit({
  transit,
  "transit-id": id = "",
}: Readonly<Record<string, string>>): Pick<InstanceRecord, "transit"> {
  const phase = PHASES.find((each) => each === transit);
  return phase === undefined ? {} : { transit: { id, phase } };
}

const PHASES = ["leaving", "arriving", "arrived"] as const;

function readVersion(root: Element): number {
  const version = Number(root.attributes.version);
  return version === WITH_OWN_FILES && find(root, "own-file") !== undefined ? 1 : version;
}

function readMount(of: Element): Mount {
  const { source = "", target = "", type } = of.attributes;
  const maps = (name: string): IdMap[] =>
    elements(of, name).map(({ attributes: { host, guest, default: isDefault } }) => ({
      host: Number(host),
      guest: Number(guest),
      ...(isDefault === "yes" ? { default: true } : {}),
    }));
  return {
    source,
    target,
    type: type === "classic" ? type : "native",
    uidMap: maps("uid"),
    gidMap: maps("gid"),
  };
}

function mountElement({ source, target, type, uidMap, gidMap }: Mount): Element {
  const maps = (name: string, list: readonly IdMap[]) =>
    list.map(({ host, guest, default: isDefault }) =>
      element(name, { host, guest, ...(isDefault === true ? { default: "yes" } : {}) }),
    );
  return element("mount", { source, target, type }, ...maps("uid", uidMap), ...maps("gid", gidMap));
}

function readSnapshotEntry(entry: Element): SnapshotEntry {
  const comment = readComment(text(find(entry, "comment")) || text(entry));
  const { frozen = "", overlay, name, taken, stamp, firmware, cut, memory, group } = entry.attributes;
  const consistency = LIVE.find((each) => each === entry.attributes.consistency);
  const disks = elements(entry, "disk").map(readDiskEntry);
  return {
    createdAt: Number(entry.attributes["created-at"] ?? 0),
    frozen,
    ...(overlay === undefined ? {} : { overlay }),
    ...(name === undefined ? {} : { name }),
    ...(taken === undefined ? {} : { taken: Number(taken) }),
    ...(stamp === undefined ? {} : { stamp }),
    ...(firmware === undefined ? {} : { firmware }),
    ...(consistency === undefined ? {} : { consistency }),
    ...(cut === "yes" ? { cut } : {}),
    ...(memory === undefined ? {} : { memory }),
    ...(group === undefined ? {} : { group }),
    ...(comment === undefined ? {} : { comment }),
    ...(disks.length === 0 ? {} : { disks }),
  };
}

/** Those of a running instance. */
const LIVE = CONSISTENCIES.filter((each) => each !== "stopped");

function readDiskEntry({ attributes: { target = "", frozen = "", overlay, stamp } }: Element): DiskEntry {
  return {
    target,
    frozen,
    ...(overlay === undefined ? {} : { overlay }),
    ...(stamp === undefined ? {} : { stamp }),
  };
}

/** A comment that cannot be read is ignored: libvirt's description has most of it. */
function readComment(json: string): string | undefined {
  try {
    return json === "" ? undefined : String(JSON.parse(json));
  } catch {
    return undefined;
  }
}

/** The same element with its name and those of all its descendants changed. */
function withNames(of: Element, name: (old: string) => string): Element {
  const children = of.children.map((child) => (typeof child === "string" ? child : withNames(child, name)));
  return { name: name(of.name), attributes: of.attributes, children };
}

/** The metadata as an element without a namespace, for `domain_set_metadata`: libvirt adds that. */
export function metadataElement(metadata: Metadata): Element {
  const { record } = metadata;
  return element(
    "instance",
    {
      version: metadata.own === undefined ? record.version : WITH_OWN_FILES,
      name: metadata.name,
      folder: metadata.folder,
      username: record.username,
      deleted: record.deleted ? "yes" : "no",
      "snapshots-taken": record.snapshotsTaken,
      "cloud-instance-id": record.cloudInstanceId,
      "created-at": record.createdAt,
      "adopted-disk": metadata.adopted,
      "disk-target": metadata.target,
      imported: metadata.imported === true ? "yes" : undefined,
      "ssh-port": metadata.sshPort,
      "shutdown-at": record.shutdownAt || undefined,
      "starting-at": record.startingAt || undefined,
      "restored-at": record.restoredAt,
      transit: record.transit?.phase,
      "transit-id": record.transit?.id,
    },
    element("image", { ...record.image }),
    record.hostKey === undefined ? undefined : element("host-key", {}, record.hostKey),
    furtherElement(record),
    ...metadata.mounts.map(mountElement),
    ...(metadata.own ?? []).map((each) => element("own-file", { ...each })),
    ...(metadata.excluded ?? []).map((target) => element("excluded-disk", { target })),
    ...(metadata.pendingRemovals ?? []).map((file) => element("discarded", { file })),
    metadata.operation === undefined || metadata.operation.kind === "unusable"
      ? undefined
      : element("operation", stringsOf(metadata.operation)),
    metadata.resume === undefined ? undefined : element("resume", { ...metadata.resume }),
    metadata.snapshot === undefined ? undefined : snapshotElement(metadata.snapshot),
  );
}

/** The operations that are kept here have nothing else. */
function stringsOf(operation: object): Record<string, string> {
  return Object.fromEntries(Object.entries(operation).filter(([, value]) => typeof value === "string"));
}

function snapshotElement(entry: SnapshotEntry): Element {
  const disks = (entry.disks ?? []).map((disk) => element("disk", { ...disk }));
  const comment = entry.comment === undefined ? undefined : asciiJson(entry.comment);
  return element(
    "snapshot",
    {
      "created-at": entry.createdAt,
      frozen: entry.frozen,
      overlay: entry.overlay,
      name: entry.name,
      taken: entry.taken,
      stamp: entry.stamp,
      firmware: entry.firmware,
      consistency: entry.consistency,
      cut: entry.cut,
      memory: entry.memory,
      group: entry.group,
    },
    ...disks,
    // Text between elements is not kept.
    comment !== undefined && disks.length > 0 ? element("comment", {}, comment) : comment,
  );
}

/** JSON with every character outside printable ASCII escaped, so that any XML can represent it. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Replaces strata's metadata in a domain, and leaves other metadata alone. */
export function putMetadata(domain: Element, metadata: Metadata): void {
  const holder = find(domain, "metadata") ?? element("metadata");
  prune(holder, isOurs(domain));
  const own = withNames(metadataElement(metadata), (name) => `strata:${name}`);
  own.attributes["xmlns:strata"] = NAMESPACE;
  holder.children.push(own);
  put(domain, holder);
}
