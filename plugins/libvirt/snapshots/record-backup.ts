import { readFile, truncate, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { failure } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { fileError, isAbsent, isLibvirt } from "../errors.ts";
import { parse, serialize } from "../xml/document.ts";
import { readSnapshot, type SnapshotDocument } from "../xml/snapshot.ts";

/** In an instance's folder: a backup of the record that is being rewritten. */
export const RECORD_BACKUP = "record.xml";

/**
 * How much space libvirt needs to write a record and to update the previous current one, bytes. It is kept
 * free with the backup.
 */
const RESERVED_BYTES = 64 * 1024;

/**
 * Runs `rewrite`, which makes libvirt rewrite a snapshot's record, with a backup of it. libvirt drops a
 * snapshot from its list if it cannot write its record, usually for lack of space: the old record stays on
 * its disk but is not read before libvirtd restarts. The layer of a snapshot that nothing lists would be
 * removed, so the backup is kept in the instance's folder until the record has been written.
 */
export async function withBackup<T>(
  managed: Managed,
  snapshot: SnapshotDocument,
  rewrite: () => Promise<T>,
): Promise<T> {
  const path = join(managed.metadata.folder, RECORD_BACKUP);
  const xml = serialize(snapshot.document);
  try {
    await writeFile(path, xml + "\n".repeat(RESERVED_BYTES + xml.length), { mode: 0o600 });
    await truncate(path, Buffer.byteLength(xml));
  } catch (error) {
    await unlink(path).catch(() => {});
    throw fileError(error, path);
  }
  let written: T;
  try {
    written = await rewrite();
  } catch (error) {
    const forgotten = await managed.domain.lookupSnapshot(snapshot.name).then(
      () => false,
      (reason: unknown) => isLibvirt(reason, "NO_DOMAIN_SNAPSHOT"),
    );
    throw forgotten ? recordLost(managed, snapshot, error) : error;
  }
  await removeBackup(managed);
  return written;
}

/** The backup, if one was left; null if it is incomplete, because libvirt had not been asked yet. */
export async function readBackup({ metadata }: Managed): Promise<SnapshotDocument | null | undefined> {
  const path = join(metadata.folder, RECORD_BACKUP);
  const xml = await readFile(path, "utf8").catch((error: unknown) => {
    if (isAbsent(error)) {
      return undefined;
    }
    throw fileError(error, path);
  });
  if (xml === undefined) {
    return undefined;
  }
  return parse(xml).then(readSnapshot, () => null);
}

export async function removeBackup({ metadata }: Managed): Promise<void> {
  await unlink(join(metadata.folder, RECORD_BACKUP));
}

export function recordLost({ name }: Managed, snapshot: SnapshotDocument, cause?: unknown) {
  return failure("RECORD_FORGOTTEN", { name, snapshot: snapshot.name, engine: "libvirt" }, cause);
}
