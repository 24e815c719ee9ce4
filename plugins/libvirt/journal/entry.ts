/**
 * What is under way on an instance, noted before the first step and removed after the last, so that whoever comes
 * next can finish or undo it (`recover.ts`). All members are strings; paths are absolute.
 *
 * `create`, `purge` and the last steps of `release` are kept in the domain's metadata, since they must be seen where
 * the folder is gone. The others are kept in the instance's folder (`journal.ts`): what is in the metadata goes into
 * every snapshot's record and comes back with it.
 */
export type Operation =
  | { readonly kind: "create" }
  /** Of versions before 0.2, in the metadata; since then the snapshot's note tells of it. */
  | {
      readonly kind: "take";
      readonly name: string;
      readonly file: string;
      readonly taken: string;
      /** "" for none; absent in entries of earlier versions. */
      readonly parent?: string;
    }
  /** `stamp`, here and below: of the file that the operation lets go, before it began; absent in entries of earlier versions. */
  | {
      readonly kind: "restore";
      readonly name: string;
      readonly file: string;
      readonly old: string;
      readonly stamp?: string;
    }
  /** `layer` is what the snapshot froze, "" where that is none of the layers. */
  | { readonly kind: "delete"; readonly name: string; readonly layer?: string; readonly stamp?: string }
  /** `child` is being moved from `layer`, which goes, to `target`, the file below it ("" for none). */
  | {
      readonly kind: "merge";
      readonly layer: string;
      readonly child: string;
      readonly target: string;
      /** Both files as they were before the layer was given the child's place; absent until then. */
      readonly childStamp?: string;
      readonly layerStamp?: string;
    }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "resize"; readonly disk: string; readonly cpus?: string; readonly memory?: string }
  | { readonly kind: "purge" }
  /** An adopted domain is being let go. */
  | { readonly kind: "release" };

export type OperationOf<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;

/** An entry that cannot be used: of a newer version, or broken. */
export interface Unusable {
  readonly kind: "unusable";
  readonly code: "RECORD_TOO_NEW" | "RECORDS_DIFFER";
  readonly reason: string;
}

/** Members that each kind must have. */
const MEMBERS: Readonly<Record<Operation["kind"], readonly string[]>> = {
  create: [],
  take: ["name", "file", "taken"],
  restore: ["name", "file", "old"],
  delete: ["name"],
  merge: ["layer", "child", "target"],
  rename: ["from", "to"],
  resize: ["disk"],
  purge: [],
  release: [],
};

/** Reads an entry, which may be of any version or broken. */
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
    return { kind: "unusable", code: "RECORD_TOO_NEW", reason: `the operation "${kind}" is unknown` };
  }
  const lacking = MEMBERS[kind as Operation["kind"]].find((name) => typeof members.get(name) !== "string");
  if (lacking !== undefined) {
    return broken(`"${kind}" has no ${lacking}`);
  }
  if ([...members.values()].some((value) => typeof value !== "string")) {
    return broken(`"${kind}" has a member that is not a text`);
  }
  // The kind and the members that it must have were looked at above.
  return Object.fromEntries(members) as unknown as Operation;
}

function broken(reason: string): Unusable {
  return { kind: "unusable", code: "RECORDS_DIFFER", reason: `its journal entry is broken: ${reason}` };
}
