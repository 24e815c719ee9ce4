/**
 * An operation in progress on an instance, written before its first step and removed after its last, so that
 * the next command can finish or undo it (`recover.ts`). All members but `disks` are strings; paths are absolute.
 *
 * `create`, `purge` and the last steps of `release` are kept in the domain's metadata, because they must be
 * found when the folder is gone. The others are kept in the instance's folder (`journal.ts`): metadata is
 * copied into every snapshot's record and comes back with it.
 */
export type Operation =
  | { readonly kind: "create" }
  /**
   * Written by versions before 0.2, in the metadata; since then, the `<snapshot>` entry in the metadata takes
   * its place.
   */
  | {
      readonly kind: "take";
      readonly name: string;
      readonly file: string;
      readonly taken: string;
      /** "" for none; absent in entries of earlier versions. */
      readonly parent?: string;
      /** `file` is the overlay. */
      readonly disks?: readonly FurtherDisk<"target" | "file">[];
    }
  /**
   * `stamp`, here and below: the stamp, before the operation began, of the file that it gives up. Absent in
   * entries of earlier versions.
   */
  | {
      readonly kind: "restore";
      readonly name: string;
      readonly file: string;
      readonly old: string;
      readonly stamp?: string;
      /** The packed state of the snapshot's firmware, a name, and where it goes. */
      readonly firmware?: string;
      readonly variables?: string;
      readonly tpm?: string;
      /** `file` is "" for a disk that the snapshot lacks, and `old` for one that the instance lacked. */
      readonly disks?: readonly FurtherDisk<"target" | "file" | "old" | "stamp">[];
    }
  /** `layer` is the file that the snapshot froze, "" if it is not a layer. */
  | {
      readonly kind: "delete";
      readonly name: string;
      readonly layer?: string;
      readonly stamp?: string;
      /** The packed state of the snapshot's firmware, a name. */
      readonly firmware?: string;
      /** The file in the instance's folder with the snapshot's memory, a name. */
      readonly memory?: string;
      readonly disks?: readonly FurtherDisk<"layer" | "stamp">[];
    }
  /**
   * The backing file of `child` is being changed from `layer`, which goes, to `target`, the file below it (""
   * for none).
   */
  | {
      readonly kind: "merge";
      readonly layer: string;
      readonly child: string;
      readonly target: string;
      /** The versions of both files before the layer took the child's place; absent until then. */
      readonly childStamp?: string;
      readonly layerStamp?: string;
    }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  /** The instance itself is being renamed; libvirt may have forgotten its snapshots meanwhile. */
  | { readonly kind: "rename-instance"; readonly from: string; readonly to: string }
  | {
      readonly kind: "resize";
      readonly disk: string;
      readonly cpus?: string;
      readonly memory?: string;
      readonly disks?: readonly FurtherDisk<"target" | "size">[];
    }
  /** The active layer `old` is becoming a hidden one, below a new active layer, `file`. */
  | {
      readonly kind: "hide";
      readonly file: string;
      readonly old: string;
      readonly disks?: readonly FurtherDisk<"target" | "file" | "old">[];
    }
  /** A disk is being added; `file` is its first layer. */
  | { readonly kind: "add-disk"; readonly target: string; readonly file: string }
  /** A disk is being taken away. */
  | { readonly kind: "remove-disk"; readonly target: string; readonly file: string; readonly stamp: string }
  | { readonly kind: "purge" }
  /** An adopted domain is being released. */
  | { readonly kind: "release" };

/** What an entry says of a disk beside the system disk, of which the members of the entry itself tell. */
export type FurtherDisk<Member extends string> = Readonly<Record<Member, string>>;

export type OperationOf<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;

/** An entry that cannot be used, because it is of a newer version or broken. */
export interface Unusable {
  readonly kind: "unusable";
  readonly code: "RECORD_TOO_NEW" | "RECORDS_DIFFER";
  readonly reason: string;
}

/** The members that each kind requires. */
const MEMBERS: Readonly<Record<Operation["kind"], readonly string[]>> = {
  create: [],
  take: ["name", "file", "taken"],
  restore: ["name", "file", "old"],
  delete: ["name"],
  merge: ["layer", "child", "target"],
  rename: ["from", "to"],
  "rename-instance": ["from", "to"],
  resize: ["disk"],
  hide: ["file", "old"],
  "add-disk": ["target", "file"],
  "remove-disk": ["target", "file", "stamp"],
  purge: [],
  release: [],
};

/** The members of each of the further disks. */
const FURTHER: Partial<Readonly<Record<Operation["kind"], readonly string[]>>> = {
  take: ["target", "file"],
  restore: ["target", "file", "old", "stamp"],
  delete: ["layer", "stamp"],
  resize: ["target", "size"],
  hide: ["target", "file", "old"],
};

function hasStrings(disk: unknown, members: readonly string[]): boolean {
  const found = Object(disk) as Record<string, unknown>;
  return members.length > 0 && members.every((name) => typeof found[name] === "string");
}

/** Reads an entry of any version; it may be broken. */
export function readOperation(entry: unknown): Operation | Unusable {
  if (typeof entry !== "object" || entry === null) {
    return broken("it is not an object");
  }
  const members = new Map<string, unknown>(Object.entries(entry));
  const kind = members.get("kind");
  if (typeof kind !== "string") {
    return broken("it has no kind");
  }
  if (!Object.hasOwn(MEMBERS, kind)) {
    return {
      kind: "unusable",
      code: "RECORD_TOO_NEW",
      reason: `its journal entry has an unknown operation "${kind}"`,
    };
  }
  const lacking = MEMBERS[kind as Operation["kind"]].find((name) => typeof members.get(name) !== "string");
  if (lacking !== undefined) {
    return broken(`"${kind}" lacks "${lacking}"`);
  }
  const { disks = [], ...strings } = Object.fromEntries(members);
  if (Object.values(strings).some((value) => typeof value !== "string")) {
    return broken(`"${kind}" has a member that is not a string`);
  }
  const further = FURTHER[kind as Operation["kind"]] ?? [];
  if (!Array.isArray(disks) || !disks.every((disk) => hasStrings(disk, further))) {
    return broken(`"${kind}" has a disk that is not complete`);
  }
  // The kind and its required members were checked above.
  return Object.fromEntries(members) as unknown as Operation;
}

function broken(reason: string): Unusable {
  return { kind: "unusable", code: "RECORDS_DIFFER", reason: `its journal entry is broken: ${reason}` };
}
