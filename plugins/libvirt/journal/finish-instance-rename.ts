import { isShutOff } from "../domain/view.ts";
import { domainName, getManaged, type LibvirtEngine, type Managed, writeMetadata } from "../engine.ts";
import { moveVariables } from "../firmware/rename.ts";
import { type Domain, SnapshotDeleteFlags, SnapshotListFlags } from "../rpc/index.ts";
import { keepCurrentSnapshot } from "../snapshots/current-snapshot.ts";
import { recordLost } from "../snapshots/record-again.ts";
import { listCopies, type RecordCopy, readCopy, writeRecordCopy } from "../snapshots/record-copies.ts";
import { parse, serialize } from "../xml/document.ts";
import { readSnapshot, withDomainName } from "../xml/snapshot.ts";
import type { OperationOf } from "./entry.ts";
import { clearJournal } from "./journal.ts";

/**
 * Renames a domain, and finishes a rename from wherever it was interrupted. libvirt renames only domains without
 * snapshots, so it forgets their records first and is given them back from their copies. False if it must wait
 * until a guest has stopped.
 */
export async function finishInstanceRename(
  engine: LibvirtEngine,
  managed: Managed,
  { from, to }: Pick<OperationOf<"rename-instance">, "from" | "to">,
): Promise<boolean> {
  const { domain, metadata, lockState } = managed;
  if (!(await isShutOff(managed))) {
    return false;
  }
  if (managed.name !== to) {
    try {
      await forgetRecords(domain, await listCopies(metadata.folder));
      await domain.rename(to);
    } catch (error) {
      await undoInstanceRename(engine, managed);
      throw error;
    }
  }
  const renamed = await getManaged(engine, domain.uuid);
  await moveVariables(engine, renamed, from);
  await giveRecordsBack(renamed);
  // Also has the copy of the definition written.
  await writeMetadata({ ...renamed, ...(lockState === undefined ? {} : { lockState }) }, {}, false);
  await clearJournal(metadata.folder);
  return true;
}

/** Gives libvirt the records back under whatever name the domain has, and forgets about the rename. */
export async function undoInstanceRename(
  engine: LibvirtEngine,
  { domain, metadata }: Pick<Managed, "domain" | "metadata">,
): Promise<void> {
  await giveRecordsBack(await getManaged(engine, domain.uuid));
  await clearJournal(metadata.folder);
}

/**
 * Has libvirt forget the records of all snapshots, each after its children: of a snapshot with descendants, it would
 * change what their records say. A record without a copy is one too many, so that libvirt refuses the rename.
 */
async function forgetRecords(domain: Domain, copies: readonly RecordCopy[]): Promise<void> {
  const copied = new Set(copies.map(({ name }) => name));
  const names = (await domain.listSnapshots(SnapshotListFlags.TOPOLOGICAL)).map(({ name }) => name);
  if (!names.every((name) => copied.has(name))) {
    return;
  }
  for (const name of names.reverse()) {
    await domain.snapshotOfName(name).delete(SnapshotDeleteFlags.METADATA_ONLY);
  }
}

/** Has libvirt record the snapshots that it has forgotten, each with the domain's present name. */
async function giveRecordsBack(managed: Managed): Promise<void> {
  const { domain, document, metadata } = managed;
  const name = domainName(document);
  const listed = new Set((await domain.listSnapshots()).map((snapshot) => snapshot.name));
  const forgotten = (await listCopies(metadata.folder)).filter((copy) => !listed.has(copy.name));
  for (const { path } of forgotten) {
    const xml = await readCopy(path);
    if (xml !== null) {
      const document = withDomainName(await parse(xml), name);
      const { name: snapshot, frozen } = readSnapshot(document);
      await writeRecordCopy(metadata.folder, { name: snapshot, frozen, xml: serialize(document) });
    }
  }
  if (forgotten.length > 0) {
    await recordLost(managed, forgotten);
  }
  await keepCurrentSnapshot(managed);
}
