/**
 * An operation in progress on an instance, written before its first step and removed after its last, so that
 * the next command can finish or undo it (`recover.ts`). All members are strings; paths are absolute.
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
    }
  /** `layer` is the file that the snapshot froze, "" if it is not a layer. */
  | {
      readonly kind: "delete";
      readonly name: string;
      readonly layer?: string;
      readonly stamp?: string;
      /** The packed state of the snapshot's firmware, a name. */
      readonly firmware?: string;
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
  | { readonly kind: "resize"; readonly disk: string; readonly cpus?: string; readonly memory?: string }
  | { readonly kind: "purge" }
  /** An adopted domain is being released. */
  | { readonly kind: "release" };

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
  purge: [],
  release: [],
};

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
  if ([...members.values()].some((value) => typeof value !== "string")) {
    return broken(`"${kind}" has a member that is not a string`);
  }
  // The kind and its required members were checked above.
  return Object.fromEntries(members) as unknown as Operation;
}

function broken(reason: string): Unusable {
  return { kind: "unusable", code: "RECORDS_DIFFER", reason: `its journal entry is broken: ${reason}` };
}
