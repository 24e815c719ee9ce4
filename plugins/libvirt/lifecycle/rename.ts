import type { Context, Instance } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { toInstance } from "../domain/view.ts";
import {
  domainName,
  getManaged,
  isNameFree,
  type LibvirtEngine,
  type Managed,
  writeMetadata,
} from "../engine.ts";
import { ENGINE } from "../errors.ts";
import { requireVariablesFree } from "../firmware/rename.ts";
import { finishInstanceRename } from "../journal/finish-instance-rename.ts";
import { writeJournal } from "../journal/journal.ts";
import { getReady } from "../journal/recover.ts";
import { checkChain, layerPlace, readLayers } from "../layers/layers.ts";
import { leaseReader } from "../network/networks.ts";
import { LibvirtError } from "../rpc/index.ts";
import { requireNoCheckpoints } from "../snapshots/checkpoints.ts";
import { reconcile } from "../snapshots/reconcile.ts";
import { listCopies, writeRecordCopy } from "../snapshots/record-copies.ts";
import { listRecords } from "../snapshots/records.ts";
import { ownLayers } from "../xml/disks.ts";
import { requireShutOff } from "./power.ts";

/** Gives a stopped instance, and so its domain, another name. Everything that could go wrong is looked at first. */
export async function renameInstance(
  engine: LibvirtEngine,
  id: string,
  to: string,
  context: Context,
): Promise<Instance> {
  const managed = await getReady(engine, id, context);
  context.signal.throwIfAborted();
  const { name, metadata } = managed;
  await requireShutOff(managed, "Only stopped instances can be renamed");
  await requireNoCheckpoints(managed);
  if (to === name) {
    return toInstance(managed, leaseReader(engine));
  }
  if (metadata.name !== undefined) {
    return renameOurs(engine, managed, to);
  }
  await requireFree(engine, to);
  await requireVariablesFree(engine, managed, to);
  await reconcile(managed);
  await requireWhole(managed);
  await copyRecords(managed);
  context.signal.throwIfAborted();
  context.progress({ phase: "Renaming" });
  const operation = { kind: "rename-instance", from: name, to } as const;
  await writeJournal(metadata.folder, operation);
  await finishInstanceRename(engine, managed, operation).catch(async (error: unknown) => {
    // Another hand may have taken the name just now, which libvirt calls a failed operation.
    if (error instanceof LibvirtError) {
      await requireFree(engine, to);
    }
    throw error;
  });
  engine.names.set(id, to);
  return toInstance(await getManaged(engine, id), leaseReader(engine));
}

/** The name is only strata's: the domain keeps its own. */
async function renameOurs(engine: LibvirtEngine, managed: Managed, to: string): Promise<Instance> {
  if (to !== domainName(managed.document)) {
    await requireFree(engine, to);
  }
  const renamed = await writeMetadata(managed, { name: to });
  engine.names.set(managed.domain.uuid, to);
  return toInstance({ ...renamed, name: to }, leaseReader(engine));
}

async function requireFree(engine: LibvirtEngine, name: string): Promise<void> {
  if (!(await isNameFree(engine, name))) {
    throw failure("INSTANCE_EXISTS", { name });
  }
}

/** Rejects unless every layer is there: libvirt could not be given the record of a snapshot without one. */
async function requireWhole(managed: Managed): Promise<void> {
  const { name, document, metadata } = managed;
  const { folder } = metadata;
  const copies = await listCopies(folder);
  const tops = [...ownLayers(document, folder), ...copies.flatMap(({ frozen }) => frozen)];
  const graph = await readLayers(layerPlace(managed), tops);
  for (const top of tops) {
    await checkChain(name, graph, top);
  }
}

/** Writes every copy anew: what other tools have changed in a record since must not get lost with it. */
async function copyRecords({ domain, name, metadata }: Managed): Promise<void> {
  const records = await listRecords(domain);
  const inside = records.find(({ frozen }) => frozen.length === 0);
  if (inside !== undefined) {
    throw failure("UNSUPPORTED", {
      what: `renaming "${name}"`,
      engine: ENGINE,
      reason: `QEMU keeps its snapshot "${inside.name}" inside the disk image; delete that first`,
    });
  }
  for (const record of records) {
    await writeRecordCopy(metadata.folder, record);
  }
}
