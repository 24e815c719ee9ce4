import type { Context } from "../../lib/backend/contract.ts";
import { failure } from "../../lib/errors.ts";
import { discard, removeUnused } from "./discarded.ts";
import { type Engine, getHeld, getManaged, type Managed, runOptions, writeMetadata } from "./engine.ts";
import { findInUse, readGraph } from "./graph.ts";
import { isLayerPath, type LayerGraph, readLayer, removeLayer } from "./layers.ts";
import { mergeLayer } from "./merge.ts";
import type { Operation } from "./operation.ts";
import { readHeader } from "./qcow2-header.ts";
import { growImage, holdsData, secure } from "./qemu-img.ts";
import { finishRelease } from "./release.ts";
import { removeInstance } from "./removal.ts";
import {
  currentName,
  deleteRecord,
  type FrozenRecord,
  isFrozenIn,
  keepMark,
  listChildren,
  listFrozen,
  lookupSnapshot,
  markCurrent,
  redefine,
  takeUpSaved,
} from "./snapshot-records.ts";
import { isCached, keepShort, removeUnusedStandIns } from "./stand-ins.ts";
import { isSettled } from "./view.ts";
import { serialize } from "./xml/document.ts";
import { readDisk, setDisk } from "./xml/domain.ts";
import { putMetadata } from "./xml/metadata.ts";

/**
 * Finishes or undoes what an operation has left half done, by looking at what is there. Every step may
 * be repeated: whoever is killed here leaves the same to the next. Needs a hold.
 */
export async function finish(engine: Engine, id: string, context?: Pick<Context, "signal">): Promise<void> {
  await finishOf(engine, await getManaged(engine, id), context);
}

/** The same for a domain that has just been read. */
export async function finishOf(
  engine: Engine,
  managed: Managed,
  context?: Pick<Context, "signal">,
): Promise<void> {
  const { operation } = managed.metadata;
  const id = managed.domain.uuid;
  await takeUpSaved(managed);
  if (operation === undefined) return;
  engine.log.debug("finishing an operation", { name: managed.name, ...operation });
  switch (operation.kind) {
    case "create":
    case "purge":
      return removeInstance(engine, managed);
    case "release":
      if (await isSettled(managed)) await finishRelease(engine, managed);
      return;
    case "take":
      await discardBlank(managed, operation.file);
      return finishTake(engine, managed, operation);
    case "restore":
      await discardBlank(managed, operation.file);
      return finishRestore(managed, operation);
    case "delete":
      await deleteRecord(managed, operation.name);
      await keepMark(managed);
      return collectLayers(engine, id, context);
    case "merge":
      return finishMerge(engine, managed, operation, context);
    case "rename":
      return finishRename(managed, operation);
    case "resize":
      // QEMU has the disk open; it grows once the guest has stopped.
      if (!(await isSettled(managed))) return;
      await growImage(readDisk(managed.document), BigInt(operation.disk), runOptions(engine, id));
      await writeMetadata(managed, { operation: null });
  }
}

/**
 * The domain of that id, held and with nothing left half done: what every change begins with. While a
 * guest runs on layers that an interrupted operation must change, that must wait, and so must the change.
 */
export async function getReady(
  engine: Engine,
  id: string,
  context?: Pick<Context, "signal">,
): Promise<Managed> {
  let managed = await getHeld(engine, id);
  if (managed.metadata.operation === undefined) return managed;
  await finishOf(engine, managed, context);
  managed = await getHeld(engine, id);
  const { name, domain } = managed;
  const { operation } = managed.metadata;
  if (operation === undefined) return managed;
  const reason = `A ${operation.kind} was interrupted and ends once it is stopped`;
  if (!(await domain.isActive())) throw failure("INSTANCE_SUSPENDED", { name, reason });
  throw failure("WRONG_STATE", { name, reason, state: "Running" });
}

/**
 * Removes the overlay of an operation that died before it was written: it has no header, so nothing can
 * stand on it, and nobody could read it among the layers.
 */
async function discardBlank({ document, metadata }: Managed, file: string): Promise<void> {
  if (readDisk(document) === file) return;
  const blank = await readHeader(file).then(
    () => false,
    // What cannot be opened is no blank file; that error is for those who read the layers.
    (error: unknown) => !(error instanceof Error && "code" in error),
  );
  if (blank) await removeLayer(metadata.folder, file);
}

type Of<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;

async function finishTake(
  engine: Engine,
  managed: Managed,
  { name, file, taken, parent }: Of<"take">,
): Promise<void> {
  const { domain, metadata, document } = managed;
  const done = { operation: null, snapshot: null } as const;
  const snapshot = await lookupSnapshot(domain, name);
  const graph = await readGraph(managed);
  const below = graph.headers.get(file)?.backing ?? null;
  if (snapshot !== null && snapshot.frozen === below) {
    await secure(file);
    if (readDisk(document) !== file) {
      // The record outlived a power cut that the definition did not: the domain would write what is frozen.
      if (!(await isSettled(managed))) return;
      setDisk(document, file);
      await engine.connection.defineDomain(serialize(document));
    }
    if (parent !== undefined && (snapshot.parent ?? "") !== parent)
      await redefine(managed, snapshot, { parent: parent === "" ? null : parent }, true);
    await writeMetadata(managed, { ...done, record: { snapshotsTaken: Number(taken) } });
    return;
  }
  if (readDisk(document) !== file) {
    // Not switched: the overlay, if there is one, is a stray.
    if (graph.dependants(file).length === 0) await removeLayer(metadata.folder, file);
    await keepMark(managed);
    await writeMetadata(managed, done);
    return;
  }
  // Switched but not recorded: back to the old file, unless the guest has written since.
  if (
    below !== null &&
    (await isSettled(managed)) &&
    !(await holdsData(file, runOptions(engine, domain.uuid)))
  ) {
    setDisk(document, below);
    putMetadata(document, metadata);
    await engine.connection.defineDomain(serialize(document));
    await removeLayer(metadata.folder, file);
  }
  await keepMark(managed);
  await writeMetadata(managed, done);
}

/** Sets the mark and discards the disk that a restore has left, or removes the new one of a restore that was none. */
export async function finishRestore(managed: Managed, { name, file, old }: Of<"restore">): Promise<void> {
  const { domain, document } = managed;
  const restored = readDisk(document) === file;
  if (restored && (await currentName(domain)) !== name) await markCurrent(managed, name);
  if (!restored) await removeUnused(managed, [file]);
  // A guest that somebody has started may run on the old one; collected once it has stopped.
  const left = restored && (await isSettled(managed)) ? { discarded: await discard(managed, old) } : {};
  await writeMetadata(managed, { operation: null, ...left });
}

/** A rename is a second record under the new name, the children moved over, then the old one removed. */
async function finishRename(managed: Managed, { from, to }: Of<"rename">): Promise<void> {
  const { domain } = managed;
  const old = await lookupSnapshot(domain, from);
  if (old !== null) {
    const current = await currentName(domain);
    if ((await lookupSnapshot(domain, to)) === null)
      await redefine(managed, old, { name: to }, current === from);
    for (const child of await listChildren(domain, from))
      await redefine(managed, child, { parent: to }, false);
    await deleteRecord(managed, from);
  }
  await keepMark(managed);
  await writeMetadata(managed, { operation: null });
}

/**
 * A merge that was killed may have switched the child's backing file before all was copied. The headers
 * cannot be believed until it has been done again from the start, so this comes before any other look.
 */
async function finishMerge(
  engine: Engine,
  managed: Managed,
  { layer, child, target }: Of<"merge">,
  context?: Pick<Context, "signal">,
): Promise<void> {
  const { folder } = managed.metadata;
  const graph = await readGraph(managed);
  if (graph.headers.has(layer)) {
    if ((await findInUse(managed, graph)).has(child)) return;
    if (!(await mergeLayer(engine, managed, graph, { kind: "merge", layer, child, target }, context))) {
      await writeMetadata(managed, { operation: null });
      return;
    }
    await removeLayer(folder, layer);
  }
  await collectLayers(engine, managed.domain.uuid, context);
}

/**
 * Takes away the layers that no snapshot froze any more: one without dependants is removed; one with a
 * single dependant is merged into it; one with several stays, hidden, and costs nothing. A layer that a
 * running guest reads through stays until the next call after it has stopped.
 */
export async function collectLayers(
  engine: Engine,
  id: string,
  context?: Pick<Context, "signal"> & Partial<Context>,
): Promise<void> {
  let managed = await getManaged(engine, id);
  const { folder } = managed.metadata;
  const records = await listFrozen(managed.domain);
  const frozen = new Set(records.map((record) => record.frozen));
  const head = readDisk(managed.document);
  let graph: LayerGraph;
  for (;;) {
    graph = await readGraph(managed, records);
    await requireWhole(managed.name, graph, records);
    const inUse = new Set(await findInUse(managed, graph));
    // Where there is no base image, stand-ins stand on the lowest layer.
    for (const { backing } of graph.standIns.values()) if (backing !== null) inUse.add(backing);
    const removable = (path: string) =>
      isLayerPath(folder, path) && path !== head && !frozen.has(path) && !inUse.has(path);
    const unused = [...graph.headers.keys()].filter(removable);
    // First, for nothing is to be merged into what goes.
    const bare = unused.filter((path) => graph.dependants(path).length === 0);
    for (const path of bare) {
      await requireUnfrozen(managed.name, records, path);
      await removeLayer(folder, path);
    }
    if (bare.length > 0) continue;
    const layer = unused.find((path) => graph.dependants(path).length === 1);
    if (layer === undefined) break;
    await requireUnfrozen(managed.name, records, layer);
    const [child = ""] = graph.dependants(layer);
    context?.progress?.({ phase: "Merging layers" });
    const target = graph.headers.get(layer)?.through ?? "";
    const merge = { kind: "merge", layer, child, target } as const;
    managed = await writeMetadata(managed, { operation: merge });
    if (!(await mergeLayer(engine, managed, graph, merge, context))) {
      graph = await readGraph(managed, records);
      break;
    }
    await removeLayer(folder, layer);
  }
  if (await isSettled(managed)) {
    // Without the layers that are gone, keyframes may be too far apart, or not needed any more.
    const options = runOptions(engine, id, context);
    const tops = [...graph.headers.keys()];
    const short = await keepShort(engine, { name: managed.name, head }, graph, tops, options);
    if (short.standIns.size > 0) await removeUnusedStandIns(short, isCached(short));
  }
  const { operation, discarded } = managed.metadata;
  if (operation === undefined && discarded === undefined) return;
  // What a guest's saved memory refers to waits on.
  const waiting = (path: string) => graph.headers.has(path) && !frozen.has(path) && path !== head;
  await writeMetadata(managed, { operation: null, discarded: (discarded ?? []).filter(waiting) });
}

/** The text of the records, by which a layer is chosen, must say the same as they do when they are parsed. */
async function requireUnfrozen(name: string, records: readonly FrozenRecord[], layer: string): Promise<void> {
  if (!(await isFrozenIn(records, layer))) return;
  const reason = `what a snapshot's record says of ${layer} can be read in two ways`;
  throw failure("RECORDS_DIFFER", { name, reason });
}

/** Nothing is taken away unless every snapshot has a layer of its own that is there. */
async function requireWhole(
  name: string,
  graph: LayerGraph,
  records: readonly FrozenRecord[],
): Promise<void> {
  const owners = new Map<string, string>();
  for (const snapshot of records) {
    if (snapshot.frozen === null) continue;
    const other = owners.get(snapshot.frozen);
    if (other !== undefined)
      throw failure("RECORDS_DIFFER", {
        name,
        reason: `"${other}" and "${snapshot.name}" name the same layer ${snapshot.frozen}`,
      });
    // An adopted instance's first snapshot froze its own disk, which is elsewhere.
    if (!graph.headers.has(snapshot.frozen)) await readLayer(name, snapshot.frozen);
    owners.set(snapshot.frozen, snapshot.name);
  }
}
