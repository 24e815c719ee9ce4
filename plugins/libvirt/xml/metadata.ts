import type { IdMap, InstanceRecord, Mount } from "../../../lib/backend/contract.ts";
import type { Operation } from "../operation.ts";
import { type Element, element, elements, find, prune, put, text } from "./document.ts";

/** Namespace of what strata keeps in a domain's `<metadata>`. */
export const NAMESPACE = "urn:strata:1";

/** What strata keeps in a domain, and through it in every snapshot's recorded domain. */
export interface Metadata {
  readonly record: InstanceRecord;
  /** Folder of the layers, absolute. */
  readonly folder: string;
  /** Wanted, whether their sources are there or not; the domain's devices are made from them. */
  readonly mounts: readonly Mount[];
  /** Of an adopted domain: its own disk, absolute, which is never removed. */
  readonly adopted?: string;
  /** Target of the disk that the layers are of, where it is not that of strata's own domains. */
  readonly target?: string;
  /** Host port forwarded to the guest's sshd, in session mode. */
  readonly sshPort?: number;
  /**
   * Disks that restores have left, absolute, which are taken away when the records are read next; see
   * `discarded.ts`. No proof of anything: an old definition may be brought back.
   */
  readonly discarded?: readonly string[];
  /** What was under way when this was written; see `recovery.ts`. */
  readonly operation?: Operation;
  /** Of a snapshot that is being taken: what libvirt itself cannot carry. */
  readonly snapshot?: SnapshotNote;
}

export interface SnapshotNote {
  /** Milliseconds; libvirt keeps seconds. */
  readonly createdAt: number;
  /** The file that freezes, absolute: libvirt rewrites the one it records when others are deleted. */
  readonly frozen: string;
  /** Present when the comment holds characters that XML cannot carry. */
  readonly comment?: string;
}

function isOurs(child: Element): boolean {
  return Object.entries(child.attributes).some(
    ([key, value]) => key.startsWith("xmlns") && value === NAMESPACE,
  );
}

/** strata's metadata of a domain document; undefined for a foreign domain. */
export function readMetadata(domain: Element): Metadata | undefined {
  const own = elements(find(domain, "metadata")).find(isOurs);
  return own === undefined ? undefined : readOwn(own);
}

/** strata's metadata in the element that libvirt gives of it. */
export function readOwn(own: Element): Metadata {
  const root = withNames(own, (name) => name.replace(/^.*:/, ""));
  const a = root.attributes;
  const image = find(root, "image")?.attributes ?? {};
  const hostKey = text(find(root, "host-key"));
  const operation = find(root, "operation")?.attributes;
  const note = find(root, "snapshot");
  const discarded = elements(root, "discarded").flatMap(({ attributes: { file } }) => file ?? []);
  const record: InstanceRecord = {
    version: Number(a.version),
    image: { sha256: image.sha256 ?? "", release: image.release ?? "", os: image.os ?? "" },
    username: a.username ?? "",
    deleted: a.deleted === "yes",
    snapshotsTaken: Number(a["snapshots-taken"] ?? 0),
    cloudInstanceId: a["cloud-instance-id"] ?? "",
    createdAt: Number(a["created-at"] ?? 0),
    ...(hostKey === "" ? {} : { hostKey }),
    ...(a["shutdown-at"] === undefined ? {} : { shutdownAt: Number(a["shutdown-at"]) }),
    ...(a["restored-at"] === undefined ? {} : { restoredAt: Number(a["restored-at"]) }),
  };
  return {
    record,
    folder: a.folder ?? "",
    mounts: elements(root, "mount").map(readMount),
    ...(a["adopted-disk"] === undefined ? {} : { adopted: a["adopted-disk"] }),
    ...(a["disk-target"] === undefined ? {} : { target: a["disk-target"] }),
    ...(a["ssh-port"] === undefined ? {} : { sshPort: Number(a["ssh-port"]) }),
    ...(discarded.length === 0 ? {} : { discarded }),
    // The attributes are the operation's members; recovery checks the kind and what it needs of them.
    ...(operation === undefined ? {} : { operation: operation as unknown as Operation }),
    ...(note === undefined ? {} : { snapshot: readNote(note) }),
  };
}

function readMount(of: Element): Mount {
  const { source = "", target = "", type } = of.attributes;
  const maps = (name: string): IdMap[] =>
    elements(of, name).map(({ attributes: { host, guest } }) => ({
      host: Number(host),
      guest: Number(guest),
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
  const maps = (name: string, list: readonly IdMap[]) => list.map((map) => element(name, { ...map }));
  return element("mount", { source, target, type }, ...maps("uid", uidMap), ...maps("gid", gidMap));
}

function readNote(note: Element): SnapshotNote {
  const comment = text(note);
  return {
    createdAt: Number(note.attributes["created-at"] ?? 0),
    frozen: note.attributes.frozen ?? "",
    ...(comment === "" ? {} : { comment: String(JSON.parse(comment)) }),
  };
}

/** The same element with other names all through. */
function withNames(of: Element, name: (old: string) => string): Element {
  const children = of.children.map((child) => (typeof child === "string" ? child : withNames(child, name)));
  return { name: name(of.name), attributes: of.attributes, children };
}

/** The metadata as an element without namespace, as `domain_set_metadata` takes it: libvirt adds that. */
export function metadataElement(metadata: Metadata): Element {
  const { record } = metadata;
  return element(
    "instance",
    {
      version: record.version,
      folder: metadata.folder,
      username: record.username,
      deleted: record.deleted ? "yes" : "no",
      "snapshots-taken": record.snapshotsTaken,
      "cloud-instance-id": record.cloudInstanceId,
      "created-at": record.createdAt,
      "adopted-disk": metadata.adopted,
      "disk-target": metadata.target,
      "ssh-port": metadata.sshPort,
      "shutdown-at": record.shutdownAt || undefined,
      "restored-at": record.restoredAt,
    },
    element("image", { ...record.image }),
    record.hostKey === undefined ? undefined : element("host-key", {}, record.hostKey),
    ...metadata.mounts.map(mountElement),
    ...(metadata.discarded ?? []).map((file) => element("discarded", { file })),
    metadata.operation === undefined ? undefined : element("operation", { ...metadata.operation }),
    metadata.snapshot === undefined ? undefined : noteElement(metadata.snapshot),
  );
}

function noteElement(note: SnapshotNote): Element {
  return element(
    "snapshot",
    { "created-at": note.createdAt, frozen: note.frozen },
    note.comment === undefined ? undefined : asciiJson(note.comment),
  );
}

/** JSON in which every character outside printable ASCII is escaped, so that any XML can carry it. */
function asciiJson(value: string): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Puts strata's metadata in the place of what is there, leaving that of others alone. */
export function putMetadata(domain: Element, metadata: Metadata): void {
  const holder = find(domain, "metadata") ?? element("metadata");
  prune(holder, isOurs);
  const own = withNames(metadataElement(metadata), (name) => `strata:${name}`);
  own.attributes["xmlns:strata"] = NAMESPACE;
  holder.children.push(own);
  put(domain, holder);
}
