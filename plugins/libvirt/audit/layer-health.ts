import { dirname } from "node:path";
import type { Context, Finding } from "../../../lib/engine/contract.ts";
import { isStrataError } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { readGraph, readLiveDisk } from "../layers/graph.ts";
import { type LayerGraph, layerSize, sizeOf } from "../layers/layers.ts";
import { checkAtRest, isDamaged, isWrong } from "../qcow2/damage.ts";
import { extentOfFile } from "../qcow2/tables.ts";
import { listRecords } from "../snapshots/records.ts";
import { readDisk } from "../xml/disks.ts";
import type { SnapshotPlace } from "../xml/snapshot.ts";
import type { InstanceFinding } from "./records.ts";

/** The files that an instance's contents are in. */
interface Reach {
  readonly layers: readonly string[];
  /** Read images and keyframes. */
  readonly flattened: readonly string[];
  /** What the lowest layers stand on. */
  readonly bases: readonly string[];
}

function reachOf({ headers, flattened }: LayerGraph): Reach {
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
  return { layers: [...headers.keys()], flattened: [...flattened.keys()], bases: [...bases] };
}

/**
 * Files that have been cut off, as a power cut or a copy onto a full disk leaves them, and files that QEMU
 * has marked as corrupt. A file looks as if it were cut off, too, where QEMU was killed before it wrote what
 * it had made room for: there qemu-img has the last word.
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
  cut: ["layer-truncated", "has been cut off, and what came after is gone"],
  corrupt: ["layer-corrupt", "was found corrupt by QEMU, which opens it for reading only"],
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
      detail: `${path} ${what}; it holds nothing that the layers do not hold`,
      repair: "read the layers themselves and remove it; the next start builds another where one is needed",
    };
  }
  const names = snapshots.flatMap(({ name, frozen }) =>
    frozen !== null && graph.chain(frozen).includes(path) ? [`"${name}"`] : [],
  );
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : "";
  const whose = names.length === 0 ? "" : `, which ${names.slice(0, NAMED).join(", ")}${more} need`;
  return { kind, subject: path, detail: `${path}${whose}, ${what}; bring it back from a backup` };
}

/** Snapshots that a finding names. */
const NAMED = 3;

/**
 * Checks the contents of all that instances consist of, one file after the other. Locks nothing: what
 * changes while it is read is passed over, and so is what a guest writes. Of a base image only what is
 * lost is told, since it is to stay as it was downloaded.
 */
export async function checkContents(all: readonly Managed[], context: Context): Promise<Finding[]> {
  const found: Finding[] = [];
  const seen = new Set<string>();
  for (const managed of all) {
    const findings = await checkInstance(managed, seen, context).catch((error: unknown) => {
      // What cannot be read has been found already.
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
        ...(ours ? { repair: "free them, once the instance has stopped" } : {}),
      });
    }
    done += (await layerSize(path)) ?? 0n;
  }
  return found;
}

/** What is wrong in one file, except what is found without reading its contents. */
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
    detail: `${clusters} of ${path} took room and were never used, as after a crash; nothing is lost`,
  };
}

/** The layers that strata's records name. */
export function namedFiles({ document }: Managed, snapshots: readonly SnapshotPlace[]): string[] {
  return [readDisk(document), ...snapshots.flatMap(({ frozen }) => frozen ?? [])];
}

/** The disks that a guest writes now, which may be another than the one of its next start. */
async function findWritten(managed: Managed): Promise<ReadonlySet<string>> {
  const live = await readLiveDisk(managed);
  return new Set(live === null ? [] : [readDisk(managed.document), live]);
}
