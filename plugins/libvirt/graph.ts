import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { failure } from "../../lib/errors.ts";
import type { Managed } from "./engine.ts";
import { isAbsent } from "./errors.ts";
import { type LayerGraph, readLayers } from "./layers.ts";
import { listFrozen } from "./snapshot-records.ts";
import { isSettled } from "./view.ts";
import { parse } from "./xml/document.ts";
import { readDisk } from "./xml/domain.ts";
import type { SnapshotPlace } from "./xml/snapshot.ts";

/**
 * The layers of an instance with all that stands on them as far as its definition and its snapshots tell,
 * wherever it is: what a removal must look at. A file that is gone stands on nothing.
 */
export async function readGraph(
  managed: Managed,
  records?: readonly Pick<SnapshotPlace, "frozen">[],
): Promise<LayerGraph> {
  const { folder } = managed.metadata;
  const frozen = (records ?? (await listFrozen(managed.domain))).flatMap((record) => record.frozen ?? []);
  const elsewhere = frozen.filter((path) => dirname(path) !== folder);
  const there = await Promise.all(elsewhere.map(async (path) => ((await isGone(path)) ? [] : [path])));
  return readLayers(managed.name, folder, [readDisk(managed.document), ...there.flat()]);
}

async function isGone(path: string): Promise<boolean> {
  return stat(path).then(() => false, isAbsent);
}

/**
 * The layers that must stay as they are: those that a guest runs on, which may be others than its definition
 * says, and all of them while its memory is saved.
 */
export async function findInUse(managed: Managed, graph: LayerGraph): Promise<ReadonlySet<string>> {
  if (await isSettled(managed)) return new Set();
  const live = (await managed.domain.isActive()) ? readDisk(await parse(await managed.domain.getXml())) : "";
  if (!graph.headers.has(live)) return new Set(graph.headers.keys());
  return new Set([...graph.chain(live), ...graph.chain(readDisk(managed.document))]);
}

/**
 * Rejects where layers stand on the head, as after a definition of old was brought back with virsh: a guest
 * that writes it would change snapshots.
 */
export async function requireOpenHead(managed: Managed, graph: LayerGraph): Promise<void> {
  const head = readDisk(managed.document);
  if (graph.dependants(head).length === 0) return;
  const { name } = managed;
  const owner = (await listFrozen(managed.domain)).find(({ frozen }) => frozen === head);
  const way =
    owner === undefined
      ? "`strata doctor` tells what stands on it"
      : `\`strata restore ${name}.${owner.name}\` gives it a disk of its own`;
  throw failure("RECORDS_DIFFER", { name, reason: `other layers stand on its disk ${head}; ${way}` });
}
