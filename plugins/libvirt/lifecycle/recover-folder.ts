import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { findDomain, getLocked, type LibvirtEngine, lockFolder } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { checkChain, readLayers } from "../layers/layers.ts";
import { recordLost } from "../layers/orphans.ts";
import { UndefineFlags } from "../rpc/index.ts";
import { DEFINITION, listCopies, readCopy } from "../snapshots/record-copies.ts";
import { readDisk, setDisk } from "../xml/disks.ts";
import { find, parse, serialize, text } from "../xml/document.ts";
import { readMetadata } from "../xml/metadata.ts";
import { instanceFolder } from "./removal.ts";

/**
 * Brings an instance back that libvirt has never heard of, or not any more, from what its folder says of it: the copy
 * of its definition and those of its snapshots' records. All layers must be there. Resolves to its name.
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
  const name = text(find(document, "name"));
  const uuid = text(find(document, "uuid"));
  if (metadata === undefined) {
    throw failure("RECORDS_DIFFER", {
      name,
      reason: `${folder}/${DEFINITION} is not of an instance of strata's`,
    });
  }
  const place = instanceFolder(await engine.pool(), uuid);
  if (folder !== place || metadata.folder !== place) {
    throw failure("RECORDS_DIFFER", {
      name,
      reason: `its files must be in ${place}, where its layers look for each other`,
    });
  }
  if ((await findDomain(engine, name)) !== null || (await isKnown(engine, uuid))) {
    throw failure("INSTANCE_EXISTS", { name });
  }
  await using lock = await lockFolder(folder, { name, wait: 0, signal });
  const copies = await listCopies(folder);
  const tops = [readDisk(document), ...copies.flatMap(({ frozen }) => frozen ?? [])];
  const graph = await readLayers(name, folder, tops);
  for (const top of tops) {
    await checkChain(name, graph, top);
  }
  setDisk(document, readDisk(document));
  const domain = await engine.connection.defineDomain(serialize(document));
  engine.lockStates.set(uuid, { lock, changed: false });
  try {
    await recordLost(await getLocked(engine, uuid), copies);
  } catch (error) {
    // All or nothing. The folder is as it was.
    await domain.undefine(KEEP);
    throw error;
  } finally {
    engine.lockStates.delete(uuid);
  }
  return name;
}

/** Records that were made by then go with the definition, firmware variables and files do not. */
const KEEP = UndefineFlags.SNAPSHOTS_METADATA | UndefineFlags.KEEP_NVRAM;

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

/** True for a folder that says of itself what it is. */
export async function describesItself(folder: string): Promise<boolean> {
  return readFile(join(folder, DEFINITION)).then(
    () => true,
    () => false,
  );
}
