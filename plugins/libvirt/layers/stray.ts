import { dirname } from "node:path";
import { errnoOf } from "../../../lib/errors.ts";
import { type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { hasLost } from "../qcow2/damage.ts";
import { isEmptyImage, readHeader } from "../qcow2/header.ts";
import { holdsData } from "../qcow2/qemu-img.ts";
import { listCopies } from "../snapshots/record-copies.ts";
import { removeIfThere } from "../storage/durable-file.ts";
import { readFileUsers } from "../storage/file-users.ts";
import { activeLayers, readDisks, readOtherDisks } from "../xml/disks.ts";
import type { Element } from "../xml/document.ts";
import { readGraph } from "./graph.ts";

/**
 * True for an overlay that an interrupted operation of strata's created and that was never used: it contains
 * no data, no process has it open, nothing stands on it, no snapshot froze it, and it is not another disk of
 * the domain. Otherwise a guest may write to it: QEMU may have switched to it without libvirt knowing.
 */
export async function isStray(engine: LibvirtEngine, managed: Managed, path: string): Promise<boolean> {
  const { folder } = managed.metadata;
  if (dirname(path) !== folder || othersOf(managed.document).includes(path)) {
    return false;
  }
  const blank = await readHeader(path).then(
    () => false,
    // A file that cannot be opened may have contents. One without a header was not written completely.
    (error: unknown) => errnoOf(error) === undefined,
  );
  if (blank) {
    return true;
  }
  const copies = await listCopies(folder);
  const graph = await readGraph(managed, copies);
  if (!graph.headers.has(path) || graph.dependants(path).length > 0) {
    return false;
  }
  if (copies.some(({ frozen }) => frozen.includes(path))) {
    return false;
  }
  if (await (await readFileUsers()).has(path)) {
    return false;
  }
  // The rest of its tables may look empty.
  if (await hasLost(path)) {
    return false;
  }
  return (await isEmptyImage(path)) || !(await holdsData(path, runOptions(engine, managed.domain.uuid)));
}

/** The files of disks that strata's operations do not switch. */
function othersOf(document: Element): string[] {
  const active = activeLayers(document);
  return readOtherDisks(document).filter((path) => !active.includes(path));
}

/** Removes those overlays of an operation that did not happen, as `removeStray` does; "" stands for none. */
export async function removeStrays(
  engine: LibvirtEngine,
  managed: Managed,
  paths: readonly string[],
): Promise<void> {
  for (const path of paths.filter((each) => each !== "")) {
    await removeStray(engine, managed, path);
  }
}

/** Removes a stray overlay that the domain does not use. Any other is kept, for `strata doctor` to show. */
export async function removeStray(engine: LibvirtEngine, managed: Managed, path: string): Promise<void> {
  if (readDisks(managed.document).includes(path)) {
    return;
  }
  if (await isStray(engine, managed, path)) {
    await removeIfThere(path);
  }
}
