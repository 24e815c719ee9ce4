import { readFile, truncate, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { failure } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { fileError, isAbsent, isLibvirt } from "../errors.ts";
import { parse, serialize } from "../xml/document.ts";
import { readSnapshot, type SnapshotDocument } from "../xml/snapshot.ts";

/** In an instance's folder: the record that is being written anew, as it was. */
export const RECORD_BACKUP = "record.xml";

/** What libvirt needs to write a record and to clear the old mark is kept free with it, bytes. */
const RESERVED_BYTES = 64 * 1024;

/**
 * Runs a piece that has libvirt write a snapshot's record anew. libvirt forgets a snapshot when it cannot
 * write it, for want of space above all: the old record stays on its disk, but is not looked at before
 * libvirtd is started again. What nobody knows of would have its layer taken away, so the record is kept
 * in the instance's folder until it has been written.
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

/** The record that was kept and not let go; null where it is cut off, so that libvirt was not asked yet. */
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
