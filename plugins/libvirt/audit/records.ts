import type { Finding } from "../../../lib/engine/contract.ts";
import { findObstacle, type Guest, remedyFor } from "../layers/graph.ts";
import type { LayerGraph } from "../layers/layers.ts";
import type { RecordCopy } from "../snapshots/record-copies.ts";
import { isRewritten, type SnapshotPlace } from "../xml/snapshot.ts";

/** A finding about an instance, whose name is added. */
export type InstanceFinding = Omit<Finding, "instance">;

/** Snapshots that only libvirt's own tools can use: of the kind that keeps all in one file. */
export function findForeign(snapshots: readonly SnapshotPlace[]): InstanceFinding[] {
  return snapshots
    .filter(({ frozen }) => frozen === null)
    .map(({ name }) => ({
      kind: "snapshot-foreign",
      subject: name,
      detail: `snapshot "${name}" is no external disk snapshot; it was not taken by strata`,
    }));
}

/** Snapshots that strata has a copy of and libvirt has no record: nothing of theirs is merged or removed. */
export function findLost(lost: readonly RecordCopy[]): InstanceFinding[] {
  return lost.map(({ name, frozen }) => ({
    kind: "record-lost",
    subject: name,
    detail: `libvirt has no record of snapshot "${name}" any more; a copy of the record is there${frozen === null ? "" : `, and its layer is ${frozen}`}`,
    repair: "have libvirt record it again",
    choices: [
      { name: "record", detail: "have libvirt record it again" },
      { name: "remove", detail: "give the snapshot up, as if it had been deleted with strata" },
    ],
  }));
}

/** A disk that a guest must not write, by the rule that start, take and restore go by. */
export function findUnwritable(
  activeLayer: string,
  graph: LayerGraph,
  snapshots: readonly Pick<SnapshotPlace, "name" | "frozen">[],
  instance: string,
): InstanceFinding[] {
  const obstacle = findObstacle(activeLayer, graph, snapshots);
  if (obstacle === undefined) {
    return [];
  }
  const way = obstacle.snapshot === undefined ? "" : `; ${remedyFor(instance, obstacle)}`;
  return [{ kind: "active-layer-frozen", subject: activeLayer, detail: `${obstacle.reason}${way}` }];
}

/** A guest that writes, or will once it is resumed, what it must not, on another disk than its definition says. */
export function findMisplacedGuest(
  { state, disk }: Guest,
  graph: LayerGraph,
  snapshots: readonly Pick<SnapshotPlace, "name" | "frozen">[],
  instance: string,
): InstanceFinding[] {
  const obstacle = findObstacle(disk, graph, snapshots);
  if (obstacle === undefined) {
    return [];
  }
  const what =
    state === "running" ? "the guest that runs writes there" : "the guest whose memory is saved would";
  const end = state === "running" ? "ends that" : "gives that memory up";
  const detail = `${obstacle.reason}, and ${what}; \`strata stop --force ${instance}\` ${end}`;
  return [{ kind: "guest-misplaced", subject: disk, detail }];
}

export function findShared(snapshots: readonly SnapshotPlace[]): InstanceFinding[] {
  const owners = new Map<string, string>();
  const found: InstanceFinding[] = [];
  for (const { name, frozen } of snapshots) {
    if (frozen === null) {
      continue;
    }
    const other = owners.get(frozen);
    if (other !== undefined) {
      found.push({
        kind: "layer-shared",
        subject: frozen,
        detail: `"${other}" and "${name}" are both in it`,
      });
    }
    owners.set(frozen, name);
  }
  return found;
}

/** A snapshot whose layer does not stand where its record says: a layer was replaced, or a record changed. */
export function findMisplaced(
  graph: LayerGraph,
  snapshots: readonly (Pick<SnapshotPlace, "name" | "frozen"> & Partial<SnapshotPlace>)[],
): InstanceFinding[] {
  const byFile = new Map(snapshots.map(({ frozen, name }) => [frozen, name]));
  return snapshots.flatMap(({ name, parent, frozen }) => {
    // A lost one has no parent yet.
    if (parent === undefined || frozen === null) {
      return [];
    }
    const below = graph.chain(frozen).slice(1);
    const actual = below.map((file) => byFile.get(file)).find((found) => found !== undefined) ?? null;
    if (actual === parent) {
      return [];
    }
    const [by, on] = [parent, actual].map((other) => (other === null ? "none" : `"${other}"`));
    return [
      {
        kind: "layer-misplaced",
        subject: name,
        detail: `the parent of snapshot "${name}" is ${by} by its record and ${on} by its layer ${frozen}`,
        repair: "record the parent that the layer tells",
      },
    ];
  });
}

/**
 * Records that libvirt has written anew: where its own tools delete a snapshot's record, it points those of
 * all descendants to the file below, as if it had merged. We go by what our note says.
 */
export function findRewritten(snapshots: readonly SnapshotPlace[]): InstanceFinding[] {
  const wrong = snapshots
    .filter(isRewritten)
    .map(({ name }) => name)
    .sort();
  const [subject] = wrong;
  if (subject === undefined) {
    return [];
  }
  const named = wrong.slice(0, 3).map((name) => `"${name}"`);
  const more = wrong.length > named.length ? ` and ${wrong.length - named.length} more` : "";
  return [
    {
      kind: "record-rewritten",
      subject,
      detail: `libvirt's own tools would restore other files than those of ${named.join(", ")}${more}: their records were written anew by a deletion with virsh`,
      repair: "put the right files into libvirt's records",
    },
  ];
}
