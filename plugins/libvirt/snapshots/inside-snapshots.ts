import { failure } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { readImage } from "../qcow2/image.ts";
import { deleteInsideSnapshot, listInsideSnapshots, type RunOptions } from "../qcow2/qemu-img.ts";
import { readFileUsers } from "../storage/file-users.ts";
import { ownFormats } from "../xml/own-files.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import { keepCurrentSnapshot } from "./current-snapshot.ts";
import { listCopies, removeRecordCopies } from "./record-copies.ts";
import { listChildren } from "./records.ts";
import { deleteRecord } from "./redefine.ts";

/**
 * Deletes one of QEMU's own snapshots inside the images of the disks, as virsh makes them: first from the images,
 * then its record. Other snapshots in the image stay.
 */
export async function deleteInside(
  managed: Managed,
  { name, parent, recorded }: Pick<SnapshotDocument, "name" | "parent" | "recorded">,
  options: RunOptions,
): Promise<void> {
  const formats = ownFormats(managed.document, managed.metadata);
  const headers = await Promise.all(
    recorded.map((file) => readImage(file, formats.get(file) ?? "qcow2").catch(() => null)),
  );
  const files = recorded.filter((_, at) => (headers[at]?.inside ?? 0) > 0);
  const users = files.length === 0 ? undefined : await readFileUsers();
  for (const file of files) {
    if (await users?.has(file)) {
      throw failure("WRONG_STATE", {
        name: managed.name,
        reason: `Snapshot "${name}" is inside the disk image ${file} and can be deleted only while that is not in use`,
        state: "Running",
      });
    }
  }
  for (const file of files) {
    const inside = await listInsideSnapshots(file, options);
    if (inside.includes(name)) {
      await deleteInsideSnapshot(file, name, options);
    }
  }
  await deleteRecord(managed, { name, parent }, await listChildren(managed.domain, name));
  await removeRecordCopies(await listCopies(managed.metadata.folder), name);
  await keepCurrentSnapshot(managed);
}

/** Rejects if libvirt has lost the record of a snapshot: it must not be deleted by its name alone. */
export async function requireNotLost(managed: Managed, name: string): Promise<void> {
  const copies = await listCopies(managed.metadata.folder);
  if (copies.some((copy) => copy.name === name)) {
    throw failure("RECORDS_DIFFER", {
      name: managed.name,
      reason: `libvirt has lost its record of snapshot "${name}"`,
    });
  }
}
