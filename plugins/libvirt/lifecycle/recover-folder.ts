import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { domainName, findDomain, getLocked, isNameFree, type LibvirtEngine, lockFolder } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { checkChain, layerPlace, readLayers } from "../layers/layers.ts";
import { UndefineFlags } from "../rpc/index.ts";
import { recordLost } from "../snapshots/record-again.ts";
import { DEFINITION, listCopies, readCopy } from "../snapshots/record-copies.ts";
import { dropChains, ownLayers } from "../xml/disks.ts";
import { find, parse, serialize, text } from "../xml/document.ts";
import { readMetadata } from "../xml/metadata.ts";
import { instanceFolder } from "./removal.ts";

/**
 * Recovers an instance that libvirt does not know, from the copies of its definition and of its snapshots'
 * records in its folder. All layers must exist. Resolves to its name.
 */
export async function recoverFolder(
  engine: LibvirtEngine,
  given: string,
  { signal }: Context,
): Promise<string> {
  const folder = resolve(given);
  const xml = await readCopy(join(folder, DEFINITION));
  if (xml === null) {
    throw failure("FILE_NOT_FOUND", { path: join(folder, DEFINITION) });
  }
  const document = await parse(xml);
  const metadata = readMetadata(document);
  const name = metadata?.name ?? domainName(document);
  const uuid = text(find(document, "uuid"));
  if (metadata === undefined) {
    throw failure("RECORDS_DIFFER", {
      name,
      reason: `${folder}/${DEFINITION} is not the definition of an instance`,
    });
  }
  const place = instanceFolder(await engine.pool(), uuid);
  if (folder !== place || metadata.folder !== place) {
    throw failure("RECORDS_DIFFER", {
      name,
      reason: `its files must be in ${place}, because its layers refer to each other there`,
    });
  }
  const taken =
    (await findDomain(engine, domainName(document))) !== null || !(await isNameFree(engine, name));
  if (taken || (await isKnown(engine, uuid))) {
    throw failure("INSTANCE_EXISTS", { name });
  }
  await using lock = await lockFolder(folder, { name, wait: 0, signal });
  const copies = await listCopies(folder);
  const tops = [...ownLayers(document, folder), ...copies.flatMap(({ frozen }) => frozen)];
  const graph = await readLayers(layerPlace({ name, document, metadata }), tops);
  for (const top of tops) {
    await checkChain(name, graph, top);
  }
  dropChains(document);
  const domain = await engine.connection.defineDomain(serialize(document));
  engine.lockStates.set(uuid, { lock, changed: false });
  try {
    await recordLost(await getLocked(engine, uuid), copies);
  } catch (error) {
    // All or nothing: the folder is as it was before.
    await domain.undefine(KEEP);
    throw error;
  } finally {
    engine.lockStates.delete(uuid);
  }
  return name;
}

/** Removes the definition with the records made so far, but keeps firmware variables and files. */
const KEEP = UndefineFlags.SNAPSHOTS_METADATA | UndefineFlags.KEEP_NVRAM | UndefineFlags.KEEP_TPM;

async function isKnown({ connection }: LibvirtEngine, uuid: string): Promise<boolean> {
  return connection.lookupDomainByUuid(uuid).then(
    () => true,
    (error: unknown) => {
      if (isLibvirt(error, "NO_DOMAIN")) {
        return false;
      }
      throw error;
    },
  );
}

/** True if the folder has a copy of the definition of an instance. */
export async function describesItself(folder: string): Promise<boolean> {
  return readFile(join(folder, DEFINITION)).then(
    () => true,
    () => false,
  );
}
