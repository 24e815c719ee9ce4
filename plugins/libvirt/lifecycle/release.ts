import { stat } from "node:fs/promises";
import { failure } from "../../../lib/errors.ts";
import { define, type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { isFlattenedPath, isPartialPath } from "../layers/names.ts";
import { addPendingRemoval, stampOf } from "../layers/pending-removals.ts";
import { removePending } from "../layers/removable.ts";
import { readHeader } from "../qcow2/header.ts";
import { commit, type RunOptions } from "../qcow2/qemu-img.ts";
import { MetadataType, ModificationImpact } from "../rpc/index.ts";
import { reconcile } from "../snapshots/reconcile.ts";
import { setDiskAt } from "../xml/disks.ts";
import { setFilesystems } from "../xml/filesystem.ts";
import { type Metadata, NAMESPACE, putMetadata, readMetadata } from "../xml/metadata.ts";
import { type OwnDisk, requireNoOtherLayers, requireReleasable } from "./releasable.ts";
import { removeFiles } from "./removal.ts";

/**
 * Releases an adopted domain: merges what was written since its own disks were frozen into those, defines
 * the domain on them again, and removes strata's files and metadata. Until the domain is redefined, it uses the
 * overlays, which have all data, so every step can be repeated. The caller has locked the instance.
 */
export async function finishRelease(engine: LibvirtEngine, managed: Managed): Promise<void> {
  const { domain, document, metadata, name } = managed;
  const { adopted, folder } = metadata;
  if (adopted === undefined) {
    throw failure("RECORDS_DIFFER", { name, reason: "it was not adopted" });
  }
  // An interrupted release may have left the layer that it scheduled for removal.
  await removePending(managed, await reconcile(managed));
  for (const disk of await requireReleasable(engine, managed, adopted)) {
    // Told by the layer, which is about to go.
    const known = await withOwnFile(readMetadata(document) ?? metadata, disk);
    await returnDisk(disk, runOptions(engine, domain.uuid));
    putMetadata(document, known);
    setDiskAt(document, disk.target, disk.own);
  }
  setFilesystems(document, []);
  // From here on, the folder may be gone, and the journal with it.
  putMetadata(document, { ...metadata, operation: { kind: "release" } });
  await define(engine, document);
  const copies = await reconcile(managed);
  await removePending(managed, copies);
  await requireNoOtherLayers(managed, copies);
  await removeFiles(engine, folder, (path) => isFlattenedPath(folder, path) || isPartialPath(folder, path));
  await domain.setMetadata(MetadataType.ELEMENT, null, null, NAMESPACE, ModificationImpact.CONFIG);
}

/**
 * The metadata with the way in which a disk's own file is named, if an older definition that another hand has brought
 * back does not have it: no raw file is given back as anything else.
 */
async function withOwnFile(metadata: Metadata, { target, file, own }: OwnDisk): Promise<Metadata> {
  const known = metadata.own ?? [];
  if (file === own || known.some((each) => each.target === target && each.file === own)) {
    return metadata;
  }
  const { backingFormat } = await readHeader(file);
  const block = (await stat(own)).isBlockDevice();
  if (backingFormat !== "raw" && !block) {
    return metadata;
  }
  const format = backingFormat === "raw" ? "raw" : "qcow2";
  return { ...metadata, own: [...known, { target, file: own, format, type: block ? "block" : "file" }] };
}

/** Merges what was written since a disk's own file was frozen into that, and schedules the overlay's removal. */
export async function returnDisk({ file, own }: OwnDisk, options: RunOptions): Promise<void> {
  if (file === own) {
    return;
  }
  const stamp = stampOf(file);
  await commit(file, own, options);
  await addPendingRemoval(file, [], stamp);
}
