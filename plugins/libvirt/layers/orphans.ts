import { dirname } from "node:path";
import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { define, type LibvirtEngine, type Managed } from "../engine.ts";
import { requireShutOff } from "../lifecycle/power.ts";
import { correctParents } from "../snapshots/record-again.ts";
import type { RecordCopy } from "../snapshots/record-copies.ts";
import { removeIfThere } from "../storage/durable-file.ts";
import { readFileUsers } from "../storage/file-users.ts";
import { activeLayers, setDisk } from "../xml/disks.ts";
import { putMetadata } from "../xml/metadata.ts";
import { collectLayers } from "./collect.ts";
import { readGraph } from "./graph.ts";
import { checkChain } from "./layers.ts";
import { addPendingRemoval, cancelRemoval } from "./pending-removals.ts";

/** Gives up a snapshot whose record libvirt has lost. */
export async function giveUpRecord(
  engine: LibvirtEngine,
  managed: Managed,
  { path, frozen }: RecordCopy,
  context: Context,
): Promise<void> {
  const { folder } = managed.metadata;
  const active = activeLayers(managed.document);
  for (const layer of frozen) {
    if (dirname(layer) === folder && !active.includes(layer)) {
      await addPendingRemoval(layer);
    }
  }
  await removeIfThere(path);
  await collectLayers(engine, managed.domain.uuid, context);
}

/** Makes a layer the active one. The previous active layer stays where it is. */
export async function activateLayer(engine: LibvirtEngine, managed: Managed, path: string): Promise<void> {
  const { document, metadata, name } = managed;
  const graph = await readGraph(managed);
  if (!(await (await readFileUsers()).has(path))) {
    await requireShutOff(managed, "Only stopped instances can be given another disk");
  }
  await checkChain(name, graph, path);
  if (graph.dependants(path).length > 0) {
    throw failure("RECORDS_DIFFER", { name, reason: `other layers stand on ${path}` });
  }
  setDisk(document, path);
  putMetadata(document, metadata);
  await define(engine, document);
  await cancelRemoval(metadata.folder, [path]);
  await correctParents({ ...managed, document });
}

/** Gives up an orphaned layer, as the user requested. */
export async function giveUpLayer(
  engine: LibvirtEngine,
  managed: Managed,
  path: string,
  context: Context,
): Promise<void> {
  if (await (await readFileUsers()).has(path)) {
    throw failure("WRONG_STATE", {
      name: managed.name,
      reason: `${path} is open for writing and cannot be removed`,
      state: "Running",
    });
  }
  await addPendingRemoval(path);
  await collectLayers(engine, managed.domain.uuid, context);
}
