import type { Consistency, Snapshot } from "../../../lib/engine/contract.ts";
import { readNics, readResources } from "../domain/devices.ts";
import type { Managed } from "../domain/managed.ts";
import {
  LAST_POWER,
  type OwnSnapshotRecord,
  readMounts,
  readSnapshotRecord,
  readTree,
  type TreeRecord,
} from "../domain/records.ts";
import type { LxdSnapshot } from "../rest/shapes.ts";

/** A snapshot with its two records merged. Parents are ids here. */
export interface Node {
  readonly id: string;
  readonly name: string;
  readonly parent: string | null;
  readonly comment: string;
  readonly cloudInstanceId: string;
  readonly createdAt: number;
  /** Absent for a stopped one. */
  readonly consistency?: Consistency;
  readonly snapshot: LxdSnapshot;
}

/**
 * A snapshot that strata did not take is identified by its time of creation, which a rename does not change.
 */
function toNode(name: string, snapshot: LxdSnapshot, { amended }: TreeRecord): Node {
  const record = readSnapshotRecord(`${name}.${snapshot.name}`, snapshot.config);
  const id = record?.id ?? `lxd-${snapshot.created_at}`;
  const { parent = record?.parent ?? null, comment = record?.comment ?? "" } = amended[id] ?? {};
  return {
    id,
    name: snapshot.name,
    parent,
    comment,
    cloudInstanceId: record?.cloudInstanceId ?? "",
    createdAt: record?.createdAt ?? Date.parse(snapshot.created_at),
    ...consistencyOf(record, snapshot),
    snapshot,
  };
}

function consistencyOf(
  record: OwnSnapshotRecord | undefined,
  { config }: LxdSnapshot,
): { readonly consistency?: Consistency } {
  if (record === undefined) {
    return config[LAST_POWER] === "RUNNING" ? { consistency: "crash" } : {};
  }
  const { consistency } = record;
  return consistency === undefined ? {} : { consistency };
}

/** All snapshots, in order of creation. */
export function readNodes({ name, config, snapshots }: Managed): Node[] {
  const tree = readTree(name, config);
  return snapshots
    .map((snapshot) => toNode(name, snapshot, tree))
    .sort((a, b) => a.createdAt - b.createdAt || (a.snapshot.created_at < b.snapshot.created_at ? -1 : 1));
}

/** Name of the snapshot with that id; null if there is none. */
export function nameOfNode(nodes: readonly Node[], id: string | null): string | null {
  return nodes.find((node) => node.id === id)?.name ?? null;
}

export function toSnapshot(nodes: readonly Node[], node: Node): Snapshot {
  const { name, comment, cloudInstanceId, createdAt, consistency, snapshot } = node;
  const { config, devices, size } = snapshot;
  return {
    name,
    comment,
    parent: nameOfNode(nodes, node.parent),
    resources: readResources(config, devices),
    mounts: readMounts(name, config),
    nics: readNics(devices),
    cloudInstanceId,
    createdAt,
    ...(consistency === undefined ? {} : { consistency }),
    size: typeof size === "number" && size >= 0 ? BigInt(size) : null,
  };
}

/** The records without those of snapshots that no longer exist. */
export function pruned({ standsOn, amended }: TreeRecord, nodes: readonly Node[]): TreeRecord {
  const ids = new Set(nodes.map(({ id }) => id));
  return { standsOn, amended: Object.fromEntries(Object.entries(amended).filter(([id]) => ids.has(id))) };
}

/** The records after a snapshot is removed: its children get its parent. */
export function withoutNode(tree: TreeRecord, nodes: readonly Node[], gone: Node): TreeRecord {
  const amended = { ...tree.amended };
  for (const node of nodes) {
    if (node.parent === gone.id) {
      amended[node.id] = { ...amended[node.id], parent: gone.parent };
    }
  }
  const standsOn = tree.standsOn === gone.id ? gone.parent : tree.standsOn;
  return pruned(
    { standsOn, amended },
    nodes.filter((node) => node !== gone),
  );
}
