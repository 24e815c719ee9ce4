import { dirname } from "node:path";
import type { RepairChoice } from "../../../lib/engine/contract.ts";
import { isShutOff } from "../domain/view.ts";
import type { Managed } from "../engine.ts";
import { findInUse, readByOthers } from "../layers/graph.ts";
import type { LayerGraph } from "../layers/layer-graph.ts";
import { isEmptyImage } from "../qcow2/header.ts";
import { readFileUsers } from "../storage/file-users.ts";
import { activeLayers, readDisk } from "../xml/disks.ts";
import type { SnapshotPlace } from "../xml/snapshot.ts";
import type { InstanceFinding } from "./records.ts";

const RECORD: RepairChoice = { name: "record", detail: "record it as a snapshot" };
const ACTIVATE: RepairChoice = { name: "activate", detail: "make it the active layer" };
const REMOVE: RepairChoice = { name: "remove", detail: "remove it with all its data" };
const MERGE: RepairChoice = {
  name: "remove",
  detail: "give it up; what stands on it keeps its contents",
};

/** Layers with a pending removal that can be merged now, and layers that nothing refers to. */
export async function findLeftLayers(
  managed: Managed,
  graph: LayerGraph,
  owners: readonly Pick<SnapshotPlace, "frozen">[],
  records: readonly SnapshotPlace[],
): Promise<InstanceFinding[]> {
  const { folder } = graph;
  const named = new Set([
    ...activeLayers(managed.document),
    ...owners.flatMap(({ frozen }) => frozen),
    ...readByOthers(managed, graph),
  ]);
  const shutOff = await isShutOff(managed);
  const inUse = await findInUse(managed, graph);
  const users = await readFileUsers();
  const found: InstanceFinding[] = [...findUnrecorded(graph, named, records)];
  for (const [path, { inside }] of graph.headers) {
    if (named.has(path) || dirname(path) !== folder) {
      continue;
    }
    switch (problemOf(path, graph, { inUse, shutOff })) {
      case "kept":
        found.push(withInsideSnapshots(path, inside, records));
        break;
      case "unmerged":
        found.push(unmerged(path));
        break;
      case "unnamed":
        found.push(unnamed(path, graph.dependants(path).length));
        break;
      case "orphaned":
        found.push(
          isOfSystemDisk(path, graph, readDisk(managed.document), owners)
            ? await orphaned(path, await users.has(path))
            : detached(path),
        );
    }
  }
  return found;
}

/**
 * True for a layer of the system disk: it stands on the same lowest file as that, or as a layer that a snapshot
 * froze of it. Any other is of a disk that the definition does not have any more, and no snapshot of its own.
 */
export function isOfSystemDisk(
  path: string,
  graph: LayerGraph,
  activeLayer: string,
  owners: readonly Pick<SnapshotPlace, "frozen">[],
): boolean {
  const lowest = (file: string) => graph.chain(file).at(-1);
  const known = [activeLayer, ...owners.flatMap(({ frozen }) => frozen.slice(0, 1))];
  return known.some((file) => lowest(file) === lowest(path));
}

/** The layer of a disk that another hand has taken out of the definition. */
function detached(path: string): InstanceFinding {
  return {
    kind: "layer-orphaned",
    subject: path,
    detail: `neither a snapshot nor the instance refers to ${path}, which is of a disk beside the system disk; virsh attach-disk brings it back`,
    choices: [REMOVE],
  };
}

/** What is wrong with a layer that neither the definition nor a snapshot names; undefined if nothing is. */
export function problemOf(
  path: string,
  graph: LayerGraph,
  { inUse, shutOff }: { readonly inUse: ReadonlySet<string>; readonly shutOff: boolean },
): "kept" | "unmerged" | "unnamed" | "orphaned" | undefined {
  const above = graph.dependants(path).length;
  if ((graph.headers.get(path)?.inside ?? 0) > 0) {
    return "kept";
  }
  if (graph.pendingRemovals.has(path)) {
    return above === 1 && shutOff ? "unmerged" : undefined;
  }
  // A backup tool may have created the layer that a guest runs on, for a while.
  if (inUse.has(path)) {
    return undefined;
  }
  return above > 0 ? "unnamed" : "orphaned";
}

/**
 * QEMU's own snapshots in a layer that is needed, of which libvirt has no record: it had one when they were
 * taken.
 */
function findUnrecorded(
  { headers }: LayerGraph,
  named: ReadonlySet<string>,
  records: readonly SnapshotPlace[],
): InstanceFinding[] {
  return [...headers].flatMap(([path, { inside }]) => {
    const known = records.filter(
      ({ frozen, recorded }) => frozen.length === 0 && recorded.includes(path),
    ).length;
    if (!named.has(path) || inside <= known) {
      return [];
    }
    return [
      {
        kind: "inside-unrecorded",
        subject: path,
        detail: `${path} contains ${inside} of QEMU's own snapshots, but libvirt has records of ${known}; they are kept, and \`qemu-img snapshot -l\` lists them`,
      },
    ];
  });
}

function unmerged(path: string): InstanceFinding {
  return {
    kind: "layer-unmerged",
    subject: path,
    detail: `${path} does not belong to a snapshot any more, and one layer stands on it`,
    repair: "merge the two",
  };
}

function unnamed(path: string, above: number): InstanceFinding {
  return {
    kind: "layer-unnamed",
    subject: path,
    detail: `no snapshot in libvirt has the layer ${path}, and strata did not give it up; ${above === 1 ? "one layer stands" : `${above} layers stand`} on it`,
    choices: [RECORD, MERGE],
  };
}

async function orphaned(path: string, used: boolean): Promise<InstanceFinding> {
  const detail = `neither a snapshot nor the instance refers to ${path}`;
  if (used) {
    return {
      kind: "layer-orphaned",
      subject: path,
      detail: `${detail}; a process has it open for writing`,
      choices: [ACTIVATE],
    };
  }
  if (await isEmptyImage(path).catch(() => false)) {
    return {
      kind: "layer-unreferenced",
      subject: path,
      detail: `${detail}; it is empty`,
      repair: "remove it",
    };
  }
  return {
    kind: "layer-orphaned",
    subject: path,
    detail: `${detail}; it contains data`,
    repair: "record it as a snapshot",
    choices: [RECORD, ACTIVATE, REMOVE],
  };
}

function withInsideSnapshots(
  path: string,
  inside: number,
  records: readonly SnapshotPlace[],
): InstanceFinding {
  const names = records.filter(({ frozen, recorded }) => frozen.length === 0 && recorded.includes(path));
  const which = names.length === 0 ? "" : ` (${names.map(({ name }) => `"${name}"`).join(", ")})`;
  return {
    kind: "layer-kept",
    subject: path,
    detail: `${path} is kept because it contains ${inside} of QEMU's own snapshots${which}, which strata neither reads nor removes`,
    choices: [{ name: "activate", detail: "make it the active layer, so that virsh can restore them" }],
  };
}
