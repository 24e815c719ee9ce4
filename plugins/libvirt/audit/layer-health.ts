import { dirname } from "node:path";
import type { Context, Finding } from "../../../lib/engine/contract.ts";
import { isStrataError } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { readGraph, readLiveDisks } from "../layers/graph.ts";
import type { LayerGraph } from "../layers/layer-graph.ts";
import { layerSize, sizeOf } from "../layers/layers.ts";
import { checkAtRest, isDamaged, isWrong } from "../qcow2/damage.ts";
import { extentOfFile } from "../qcow2/tables.ts";
import { listRecords } from "../snapshots/records.ts";
import { activeLayers } from "../xml/disks.ts";
import type { SnapshotPlace } from "../xml/snapshot.ts";
import type { InstanceFinding } from "./records.ts";

/** The files with an instance's contents. */
interface Reach {
  readonly layers: readonly string[];
  /** Flattened copies. */
  readonly flattened: readonly string[];
  /** The files that the lowest layers stand on. */
  readonly bases: readonly string[];
}

function reachOf({ headers, flattened, formatOf }: LayerGraph): Reach {
  const below = [...headers.values()].map(({ through }) => through);
  for (const { backing } of flattened.values()) {
    below.push(backing);
  }
  const bases = new Set<string>();
  for (const path of below) {
    if (path !== null && !headers.has(path) && !flattened.has(path)) {
      bases.add(path);
    }
  }
  // A raw file has no tables, whatever its guest has written where they would be.
  const known = [...bases].filter((path) => formatOf(path) === "qcow2");
  return { layers: [...headers.keys()], flattened: [...flattened.keys()], bases: known };
}

/**
 * Files that were truncated, for example by a power cut or a copy onto a full disk, and files that QEMU has
 * marked as corrupt. A file also looks truncated if QEMU was killed before it wrote space that it had
 * allocated: then qemu-img decides.
 */
export async function findDamaged(
  managed: Managed,
  graph: LayerGraph,
  snapshots: readonly SnapshotPlace[],
): Promise<InstanceFinding[]> {
  const { layers, flattened, bases } = reachOf(graph);
  const found: InstanceFinding[] = [];
  let written: ReadonlySet<string> | undefined;
  for (const path of [...layers, ...flattened, ...bases]) {
    const extent = extentOfFile(path);
    if (extent === "whole" || extent === "unknown") {
      continue;
    }
    written ??= await findWritten(managed);
    if (extent !== "corrupt" && written.has(path)) {
      continue;
    }
    if (extent === "short" && !(await isDamaged(path, {}))) {
      continue;
    }
    found.push(damaged(path, extent === "corrupt" ? extent : "cut", graph, snapshots));
  }
  return found;
}

const DAMAGE = {
  cut: ["layer-truncated", "was truncated, and data is lost"],
  corrupt: ["layer-corrupt", "was marked as corrupt by QEMU, which opens it read-only"],
  wrong: ["layer-corrupt", "is corrupt: its tables contradict each other"],
} as const;

function damaged(
  path: string,
  damage: keyof typeof DAMAGE,
  graph: LayerGraph,
  snapshots: readonly SnapshotPlace[],
): InstanceFinding {
  const [kind, what] = DAMAGE[damage];
  if (graph.flattened.has(path)) {
    return {
      kind: "flattened-copy-damaged",
      subject: path,
      detail: `${path} ${what}; the layers have all of its contents`,
      repair: "read the layers instead and remove it; the next start builds another if needed",
    };
  }
  const names = snapshots.flatMap(({ name, frozen }) =>
    frozen.some((file) => graph.chain(file).includes(path)) ? [`"${name}"`] : [],
  );
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : "";
  const whose = names.length === 0 ? "" : `, which ${names.slice(0, NAMED).join(", ")}${more} need`;
  return { kind, subject: path, detail: `${path}${whose}, ${what}; restore it from a backup` };
}

/** How many snapshots a finding names. */
const NAMED = 3;

/**
 * Checks the contents of all files of the instances, one after the other. Locks nothing: files that change
 * meanwhile are skipped, and so are those that a guest writes. For a base image, only lost data is reported,
 * since it must stay as it was downloaded.
 */
export async function checkContents(all: readonly Managed[], context: Context): Promise<Finding[]> {
  const found: Finding[] = [];
  const seen = new Set<string>();
  for (const managed of all) {
    const findings = await checkInstance(managed, seen, context).catch((error: unknown) => {
      // A file that cannot be read has a finding already.
      const gone = isLibvirt(error, "NO_DOMAIN", "NO_DOMAIN_SNAPSHOT");
      if (gone || (isStrataError(error) && error.code !== "CANCELLED" && error.code !== "PROGRAM_MISSING")) {
        return [];
      }
      throw error;
    });
    found.push(...findings);
  }
  return found;
}

async function checkInstance(managed: Managed, seen: Set<string>, context: Context): Promise<Finding[]> {
  const { domain, name: instance } = managed;
  const snapshots = await listRecords(domain);
  const graph = await readGraph(managed, snapshots);
  const { layers, flattened, bases } = reachOf(graph);
  const written = await findWritten(managed);
  const files = [...layers, ...flattened, ...bases].filter((path) => !written.has(path) && !seen.has(path));
  const total = await sizeOf(files);
  const found: Finding[] = [];
  let done = 0n;
  for (const path of files) {
    seen.add(path);
    context.progress({ phase: `Checking the contents of ${instance}`, done, total });
    const owner = bases.includes(path) ? {} : { instance };
    const finding = await checkFile(path, graph, snapshots, context);
    if (finding !== null && finding.kind !== "layer-leaks") {
      found.push({ ...owner, ...finding });
    } else if (finding !== null && layers.includes(path)) {
      const ours = dirname(path) === graph.folder && namedFiles(managed, snapshots).includes(path);
      found.push({
        ...owner,
        ...finding,
        ...(ours ? { repair: "free them while the instance is stopped" } : {}),
      });
    }
    done += (await layerSize(path)) ?? 0n;
  }
  return found;
}

/** What is wrong with one file, except what is found without reading its contents. */
async function checkFile(
  path: string,
  graph: LayerGraph,
  snapshots: readonly SnapshotPlace[],
  context: Context,
): Promise<InstanceFinding | null> {
  const extent = extentOfFile(path);
  if (extent === "corrupt" || extent === "unknown" || extent === "cut") {
    return null;
  }
  const checked = await checkAtRest(path, context);
  if (checked === null || (extent === "short" && isWrong(checked))) {
    return null;
  }
  const { corruptions, leaks, failed } = checked;
  if (failed !== null) {
    return { kind: "layer-unreadable", subject: path, detail: `${path} cannot be checked: ${failed}` };
  }
  if (corruptions > 0) {
    return damaged(path, "wrong", graph, snapshots);
  }
  if (leaks === 0) {
    return null;
  }
  const clusters = leaks === 1 ? "1 cluster" : `${leaks} clusters`;
  return {
    kind: "layer-leaks",
    subject: path,
    detail: `${clusters} of ${path} ${leaks === 1 ? "is" : "are"} allocated but not used, as after a crash; no data is lost`,
  };
}

/** The layers in strata's records. */
export function namedFiles({ document }: Managed, snapshots: readonly SnapshotPlace[]): string[] {
  return [...activeLayers(document), ...snapshots.flatMap(({ frozen }) => frozen)];
}

/** The files that a guest is writing, which may differ from those of its next start. */
async function findWritten(managed: Managed): Promise<ReadonlySet<string>> {
  const live = await readLiveDisks(managed);
  return new Set(live === null ? [] : [...activeLayers(managed.document), ...live]);
}
