import type { Context, SnapshotRecord, TakeOptions } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { ownDefinition } from "../domain/definition-chain.ts";
import { getLocked, type LibvirtEngine, type Managed, writeMetadata } from "../engine.ts";
import { isSaid } from "../errors.ts";
import { finishInterrupted } from "../journal/recover.ts";
import { awaitSent } from "../lock/await-inflight.ts";
import { SNAPSHOT_NAME_TAKEN } from "../messages.ts";
import type { DomainSnapshot } from "../rpc/index.ts";
import { setDisks } from "../xml/disks.ts";
import { copy, type Element, parse } from "../xml/document.ts";
import { readSnapshot } from "../xml/snapshot.ts";
import { freeze } from "./freeze.ts";
import { announce, overlaysOf, type Preparation, prepareTake, writeFiles } from "./preparation.ts";
import { writeRecordCopy } from "./record-copies.ts";
import { lookupSnapshot } from "./records.ts";
import { redefine } from "./redefine.ts";
import { requireSameDisks } from "./same-disks.ts";

export async function take(
  engine: LibvirtEngine,
  id: string,
  record: SnapshotRecord,
  taken: number,
  context: Context,
  { cut = false }: TakeOptions = {},
): Promise<void> {
  const preparation = await prepareTake(engine, id, record, { taken, cut }, context);
  context.signal.throwIfAborted();
  const written = await announce(preparation);
  try {
    const document = await writeFiles(preparation);
    const snapshot = await freeze(engine, written, document, context);
    await complete(engine, preparation, written, snapshot);
  } catch (error) {
    await settle(engine, preparation, error);
  }
}

/** Ends a take whose snapshot libvirt has recorded. */
export async function complete(
  engine: LibvirtEngine,
  { managed, record, taken, cut, live, disks }: Preparation,
  written: Managed,
  snapshot: DomainSnapshot,
): Promise<void> {
  const { domain, metadata } = managed;
  const { parent } = record;
  const xml = await snapshot.getXml();
  const recorded = readSnapshot(await parse(xml));
  if (recorded.parent === parent) {
    const frozen = disks.map((disk) => disk.frozen);
    await writeRecordCopy(metadata.folder, { name: record.name, frozen, xml });
  } else {
    const document = withDisks(managed.document, overlaysOf(disks));
    await redefine({ ...managed, document }, recorded, { parent }, true);
  }
  await writeMetadata(written, { record: { snapshotsTaken: taken }, snapshot: null }, live && !cut);
  if (live) {
    await ownDefinition(engine, await getLocked(engine, domain.uuid));
  }
}

/**
 * Finishes or undoes a take that ran into an error, which does not mean that nothing has happened. Rejects with the
 * error unless the snapshot is there.
 */
export async function settle(
  engine: LibvirtEngine,
  { managed, record, disks, cut }: Preparation,
  error: unknown,
): Promise<void> {
  const { domain, name } = managed;
  await awaitSent(engine, domain.uuid, error);
  await finishInterrupted(engine, domain.uuid);
  const there = await lookupSnapshot(domain, record.name).catch(() => null);
  if (there?.frozen[0] !== disks[0]?.frozen || (cut && (await domain.isActive()))) {
    await requireSameDisks(managed);
    throw takeError(error, name, record.name);
  }
}

function withDisks(document: Element, files: ReadonlyMap<string, string>): Element {
  const switched = copy(document);
  setDisks(switched, files);
  return switched;
}

/** libvirt has no code for a name that is taken. */
function takeError(error: unknown, name: string, snapshot: string): unknown {
  return isSaid(error, SNAPSHOT_NAME_TAKEN) ? failure("SNAPSHOT_EXISTS", { name, snapshot }, error) : error;
}
