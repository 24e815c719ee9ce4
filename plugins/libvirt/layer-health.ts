import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Context, Finding } from "../../lib/backend/contract.ts";
import { isStrataError } from "../../lib/errors.ts";
import { formatSize } from "../../lib/size/format.ts";
import { type Engine, type Managed, readManaged, runOptions } from "./engine.ts";
import { isLibvirt } from "./errors.ts";
import { readGraph } from "./graph.ts";
import { type LayerGraph, layerSize, sizeOf } from "./layers.ts";
import { extentOfFile } from "./qcow2-tables.ts";
import { checkImage, type ImageCheck, repairLeaks } from "./qemu-img.ts";
import type { Note } from "./record-findings.ts";
import { listRecords } from "./snapshot-records.ts";
import { isSettled } from "./view.ts";
import { parse } from "./xml/document.ts";
import { readDisk } from "./xml/domain.ts";
import type { SnapshotPlace } from "./xml/snapshot.ts";

/** The files that an instance's contents are in. */
interface Reach {
  readonly layers: readonly string[];
  /** Read images and keyframes. */
  readonly standIns: readonly string[];
  /** What the lowest layers stand on. */
  readonly bases: readonly string[];
}

function reachOf({ headers, standIns }: LayerGraph): Reach {
  const below = [...headers.values()].map(({ through }) => through);
  for (const { backing } of standIns.values()) below.push(backing);
  const bases = new Set<string>();
  for (const path of below) if (path !== null && !headers.has(path) && !standIns.has(path)) bases.add(path);
  return { layers: [...headers.keys()], standIns: [...standIns.keys()], bases: [...bases] };
}

/**
 * Files that have been cut off, as a power cut or a copy onto a full disk leaves them, and files that QEMU
 * has marked as corrupt. A file looks as if it were cut off, too, where QEMU was killed before it wrote what
 * it had made room for: there qemu-img has the last word.
 */
export async function findDamaged(managed: Managed, graph: LayerGraph): Promise<Note[]> {
  const { layers, standIns, bases } = reachOf(graph);
  const found: Note[] = [];
  let written: ReadonlySet<string> | undefined;
  for (const path of [...layers, ...standIns, ...bases]) {
    const extent = extentOfFile(path);
    if (extent === "corrupt")
      found.push({
        kind: "layer-corrupt",
        subject: path,
        detail: `QEMU has marked ${path} as corrupt; bring it back from a backup`,
      });
    if (extent !== "cut" && extent !== "short") continue;
    written ??= await findWritten(managed);
    if (written.has(path)) continue;
    if (extent === "cut" || (await isDamaged(path))) found.push(await cutOff(path));
  }
  return found;
}

async function isDamaged(path: string): Promise<boolean> {
  const checked = await checkAtRest(path, {});
  return checked !== null && isWrong(checked);
}

async function cutOff(path: string): Promise<Note> {
  const { size } = await stat(path, { bigint: true });
  return {
    kind: "layer-truncated",
    subject: path,
    detail: `${path} has been cut off at ${formatSize(size)}, and data behind that are gone; bring it back from a backup`,
  };
}

/**
 * Checks the contents of all that instances consist of, one file after the other. Locks nothing: what
 * changes while it is read is passed over, and so is what a guest writes. Of a base image only what is
 * lost is told, since it is to stay as it was downloaded.
 */
export async function checkContents(all: readonly Managed[], context: Context): Promise<Finding[]> {
  const found: Finding[] = [];
  const seen = new Set<string>();
  for (const managed of all) {
    const notes = await checkInstance(managed, seen, context).catch((error: unknown) => {
      // What cannot be read has been found already.
      const gone = isLibvirt(error, "NO_DOMAIN", "NO_DOMAIN_SNAPSHOT");
      if (gone || (isStrataError(error) && error.code !== "CANCELLED" && error.code !== "PROGRAM_MISSING"))
        return [];
      throw error;
    });
    found.push(...notes);
  }
  return found;
}

async function checkInstance(managed: Managed, seen: Set<string>, context: Context): Promise<Finding[]> {
  const { domain, name: instance } = managed;
  const snapshots = await listRecords(domain);
  const graph = await readGraph(managed, snapshots);
  const { layers, standIns, bases } = reachOf(graph);
  const written = await findWritten(managed);
  const files = [...layers, ...standIns, ...bases].filter((path) => !written.has(path) && !seen.has(path));
  const total = await sizeOf(files);
  const found: Finding[] = [];
  let done = 0n;
  for (const path of files) {
    seen.add(path);
    context.progress({ phase: `Checking the contents of ${instance}`, done, total });
    const owner = bases.includes(path) ? {} : { instance };
    for (const note of await checkFile(path, context)) {
      // Only the layers can be mended, and only what strata's records name is strata's to mend.
      if (note.kind !== "layer-leaks") found.push({ ...owner, ...note });
      else if (layers.includes(path)) {
        const ours = dirname(path) === graph.folder && namedFiles(managed, snapshots).includes(path);
        found.push({
          ...owner,
          ...note,
          ...(ours ? { repair: "free them, once the instance has stopped" } : {}),
        });
      }
    }
    done += (await layerSize(path)) ?? 0n;
  }
  return found;
}

/** What is wrong in one file, except what is found without reading its contents. */
async function checkFile(path: string, context: Context): Promise<Note[]> {
  const extent = extentOfFile(path);
  if (extent === "corrupt" || extent === "unknown" || extent === "cut") return [];
  const checked = await checkAtRest(path, context);
  if (checked === null || (extent === "short" && isWrong(checked))) return [];
  const { corruptions, leaks, failed } = checked;
  if (failed !== null)
    return [{ kind: "layer-unreadable", subject: path, detail: `${path} cannot be checked: ${failed}` }];
  if (corruptions > 0)
    return [
      {
        kind: "layer-corrupt",
        subject: path,
        detail: `${path} is corrupt in ${count(corruptions, "place")}; bring it back from a backup`,
      },
    ];
  if (leaks === 0) return [];
  const detail = `${count(leaks, "cluster")} of ${path} hold nothing and are not free, as after a crash; nothing is lost`;
  return [{ kind: "layer-leaks", subject: path, detail }];
}

const count = (number: number, noun: string) => `${number} ${noun}${number === 1 ? "" : "s"}`;

const isWrong = ({ corruptions, failed }: ImageCheck) => corruptions > 0 || failed !== null;

/** The layers that strata's records name. */
function namedFiles({ document }: Managed, snapshots: readonly SnapshotPlace[]): string[] {
  return [readDisk(document), ...snapshots.flatMap(({ frozen }) => frozen ?? [])];
}

/** What qemu-img says of a file; null where it was written, replaced or removed meanwhile. */
async function checkAtRest(
  path: string,
  { signal }: Partial<Pick<Context, "signal">>,
): Promise<ImageCheck | null> {
  const before = await stampOf(path);
  const checked = await checkImage(path, signal === undefined ? {} : { signal });
  return before !== null && before === (await stampOf(path)) ? checked : null;
}

async function stampOf(path: string): Promise<string | null> {
  return stat(path, { bigint: true }).then(
    ({ ino, size, mtimeNs }) => `${ino} ${size} ${mtimeNs}`,
    () => null,
  );
}

/** The disks that a guest writes now, which may be another than the one of its next start. */
async function findWritten({ domain, document }: Managed): Promise<ReadonlySet<string>> {
  if (!(await domain.isActive())) return new Set();
  return new Set([readDisk(document), readDisk(await parse(await domain.getXml()))]);
}

/**
 * Frees leaked clusters of a layer that a snapshot or the definition names, where no guest uses it; false
 * where there are none. The caller holds the instance.
 */
export async function freeLeaks(
  engine: Engine,
  { domain }: Managed,
  path: string,
  context: Context,
): Promise<boolean> {
  const managed = await readManaged(domain);
  if (managed === undefined || !(await isSettled(managed))) return false;
  const snapshots = await listRecords(domain);
  if (!namedFiles(managed, snapshots).includes(path) || dirname(path) !== managed.metadata.folder)
    return false;
  const options = runOptions(engine, domain.uuid, context);
  const checked = await checkImage(path, options);
  if (isWrong(checked) || checked.leaks === 0) return false;
  const { leaks, failed } = await repairLeaks(path, options);
  return failed === null && leaks === 0;
}
