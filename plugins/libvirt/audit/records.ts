import type { Finding } from "../../../lib/engine/contract.ts";
import { quote } from "../../../lib/util/quote.ts";
import { findObstacle, type Guest, remedyFor } from "../layers/graph.ts";
import type { LayerGraph } from "../layers/layer-graph.ts";
import type { RecordCopy } from "../snapshots/record-copies.ts";
import { ownersOf } from "../snapshots/records.ts";
import { isRewritten, type SnapshotPlace } from "../xml/snapshot.ts";

/** A finding about an instance, without the instance's name. */
export type InstanceFinding = Omit<Finding, "instance">;

/** Snapshots that only libvirt's own tools can use: those that are not external disk snapshots. */
export function findForeign(snapshots: readonly SnapshotPlace[]): InstanceFinding[] {
  return snapshots
    .filter(({ frozen }) => frozen.length === 0)
    .map(({ name }) => ({
      kind: "snapshot-foreign",
      subject: name,
      detail: `snapshot "${name}" was not taken by strata: it is not an external disk snapshot`,
    }));
}

/**
 * Snapshots of which strata has a copy and libvirt no record: none of their layers are merged or removed.
 */
export function findLost(lost: readonly RecordCopy[]): InstanceFinding[] {
  return lost.map(({ name, frozen }) => ({
    kind: "record-lost",
    subject: name,
    detail: `libvirt has lost its record of snapshot "${name}", but strata has a copy${layersOf(frozen)}`,
    repair: "record it again in libvirt",
    choices: [
      { name: "record", detail: "record it again in libvirt" },
      { name: "remove", detail: "delete the snapshot" },
    ],
  }));
}

function layersOf(frozen: readonly string[]): string {
  if (frozen.length === 0) {
    return "";
  }
  return frozen.length === 1 ? `; its layer is ${frozen[0]}` : `; its layers are ${frozen.join(", ")}`;
}

/** An active layer that must not be written, by the rule for start, take and restore. */
export function findUnwritable(
  active: readonly string[],
  graph: LayerGraph,
  snapshots: readonly Pick<SnapshotPlace, "name" | "frozen">[],
  instance: string,
): InstanceFinding[] {
  const obstacle = findObstacle(active, graph, snapshots);
  if (obstacle === undefined) {
    return [];
  }
  const way = obstacle.snapshot === undefined ? "" : `; ${remedyFor(instance, obstacle)}`;
  return [{ kind: "active-layer-frozen", subject: obstacle.file, detail: `${obstacle.reason}${way}` }];
}

/**
 * A guest that writes, or will once it is resumed, to another disk than that of its definition, which it must
 * not change.
 */
export function findMisplacedGuest(
  { state, disks }: Guest,
  graph: LayerGraph,
  snapshots: readonly Pick<SnapshotPlace, "name" | "frozen">[],
  instance: string,
): InstanceFinding[] {
  const obstacle = findObstacle(disks, graph, snapshots);
  if (obstacle === undefined) {
    return [];
  }
  const what =
    state === "running" ? "the running guest writes to it" : "the suspended guest will write to it";
  const end = state === "running" ? "stops it" : "discards its saved memory";
  const detail = `${obstacle.reason}, and ${what}; \`strata stop --force ${quote(instance)}\` ${end}`;
  return [{ kind: "guest-misplaced", subject: obstacle.file, detail }];
}

export function findShared(snapshots: readonly SnapshotPlace[]): InstanceFinding[] {
  const owners = new Map<string, string>();
  const found: InstanceFinding[] = [];
  for (const { name, frozen } of snapshots) {
    for (const file of frozen) {
      const other = owners.get(file);
      if (other !== undefined) {
        found.push({
          kind: "layer-shared",
          subject: file,
          detail: `snapshots "${other}" and "${name}" both have this layer`,
        });
      }
      owners.set(file, name);
    }
  }
  return found;
}

/**
 * A snapshot whose layer stands on another snapshot than its record says: a layer was replaced, or a record
 * changed.
 */
export function findMisplaced(
  graph: LayerGraph,
  snapshots: readonly (Pick<SnapshotPlace, "name" | "frozen"> & Partial<SnapshotPlace>)[],
): InstanceFinding[] {
  const byFile = ownersOf(snapshots);
  return snapshots.flatMap(({ name, parent, frozen: [frozen] }) => {
    // A lost snapshot has no parent yet. Where a snapshot stands, its system disk tells.
    if (parent === undefined || frozen === undefined) {
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
        detail: `the parent of snapshot "${name}" is ${by} according to its record, and ${on} according to its layer ${frozen}`,
        repair: "record the layer's parent",
      },
    ];
  });
}

/**
 * Records that libvirt has rewritten: when its own tools delete a snapshot's record, it changes the disks of
 * all descendants to the file below, as if it had merged. strata goes by its own entry.
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
      detail: `libvirt's own tools would restore the wrong files for ${named.join(", ")}${more}: a deletion with virsh has changed their records`,
      repair: "correct the files in libvirt's records",
    },
  ];
}
