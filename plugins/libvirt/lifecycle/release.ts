import { failure } from "../../../lib/errors.ts";
import { define, type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { isFlattenedPath, isPartialPath } from "../layers/names.ts";
import { addPendingRemoval, stampOf } from "../layers/pending-removals.ts";
import { removePending } from "../layers/removable.ts";
import { commit } from "../qcow2/qemu-img.ts";
import { MetadataType, ModificationImpact } from "../rpc/index.ts";
import { reconcile } from "../snapshots/reconcile.ts";
import { readDisk, setDisk } from "../xml/disks.ts";
import { setFilesystems } from "../xml/filesystem.ts";
import { NAMESPACE, putMetadata } from "../xml/metadata.ts";
import { requireNoOtherLayers, requireReleasable } from "./releasable.ts";
import { removeFiles } from "./removal.ts";

/**
 * Releases an adopted domain: merges what was written since its own disk was frozen into that disk, defines
 * the domain on it again, and removes strata's files and metadata. Until the domain is redefined, it uses the
 * overlay, which has all data, so every step can be repeated. The caller has locked the instance.
 */
export async function finishRelease(engine: LibvirtEngine, managed: Managed): Promise<void> {
  const { domain, document, metadata, name } = managed;
  const { adopted: own, folder } = metadata;
  if (own === undefined) {
    throw failure("RECORDS_DIFFER", { name, reason: "it was not adopted" });
  }
  // An interrupted release may have left the layer that it scheduled for removal.
  await removePending(managed, await reconcile(managed));
  await requireReleasable(engine, managed, own);
  const activeLayer = readDisk(document);
  if (activeLayer !== own) {
    const stamp = stampOf(activeLayer);
    await commit(activeLayer, own, runOptions(engine, domain.uuid));
    await addPendingRemoval(activeLayer, [], stamp);
  }
  setDisk(document, own);
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
