import { failure } from "../../../lib/errors.ts";
import { define, type Engine, type Managed, runOptions } from "../engine.ts";
import { isLayerPath, readLayer } from "../layers/layers.ts";
import { commit } from "../qcow2/qemu-img.ts";
import { MetadataType, ModificationImpact } from "../rpc/index.ts";
import { readDisk, setDisk } from "../xml/domain.ts";
import { setFilesystems } from "../xml/filesystem.ts";
import { NAMESPACE, putMetadata } from "../xml/metadata.ts";
import { removeFiles } from "./removal.ts";

/**
 * Lets an adopted domain go: what was written since its own disk was frozen goes into that disk, the
 * domain back to it, and strata's files and metadata away. Until the domain is back, it runs on the
 * overlay, which has everything: every step may be repeated. Needs a hold.
 */
export async function finishRelease(engine: Engine, managed: Managed): Promise<void> {
  const { domain, document, metadata, name } = managed;
  const own = metadata.adopted;
  if (own === undefined) throw failure("RECORDS_DIFFER", { name, reason: "it was not adopted" });
  const head = readDisk(document);
  if (head !== own)
    await commit(await requireOverlay(managed, head, own), own, runOptions(engine, domain.uuid));
  setDisk(document, own);
  setFilesystems(document, []);
  putMetadata(document, metadata);
  await define(engine, document);
  await removeFiles(engine, metadata.folder);
  await domain.setMetadata(MetadataType.ELEMENT, null, null, NAMESPACE, ModificationImpact.CONFIG);
}

/** The head, when it is a layer of ours right on the domain's own disk: nothing else may be written there. */
export async function requireOverlay(
  { name, metadata }: Pick<Managed, "name" | "metadata">,
  head: string,
  own: string,
): Promise<string> {
  const { backing } = await readLayer(name, head);
  if (isLayerPath(metadata.folder, head) && backing === own) return head;
  throw failure("RECORDS_DIFFER", {
    name,
    reason: `its disk ${head} stands on ${backing ?? "nothing"}, not on its own disk ${own}`,
  });
}
