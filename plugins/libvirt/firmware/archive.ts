import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { failure, reasonOf } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { fileError, isAbsent } from "../errors.ts";
import { listCopies, readCopy } from "../snapshots/record-copies.ts";
import { listRecords } from "../snapshots/records.ts";
import { removeIfThere, writeDurably } from "../storage/durable-file.ts";
import { exists } from "../storage/pool.ts";
import { parse } from "../xml/document.ts";
import { readSnapshot } from "../xml/snapshot.ts";
import { type FirmwareState, PACKED_NAME, type Packed, unpack } from "./state.ts";

/** Writes a packed state into an instance's folder, unless it is there already. */
export async function writePacked(folder: string, { name, bytes }: Packed): Promise<void> {
  const path = join(folder, name);
  if (!(await exists(path))) {
    await writeDurably(path, bytes);
  }
}

/** The state that a snapshot recorded under that name. Rejects with RECORDS_DIFFER if it is gone or damaged. */
export async function readPacked(
  { name, metadata }: Pick<Managed, "name" | "metadata">,
  packed: string,
): Promise<FirmwareState> {
  const path = join(metadata.folder, packed);
  const differ = (reason: string, cause?: unknown) =>
    failure("RECORDS_DIFFER", { name, reason: `${path}, the state of its firmware, ${reason}` }, cause);
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw isAbsent(error) ? differ("is missing", error) : fileError(error, path);
  }
  try {
    return await unpack({ name: packed, bytes });
  } catch (error) {
    throw differ(`cannot be used: ${reasonOf(error)}`, error);
  }
}

/**
 * Removes a packed state that a snapshot had which is gone, unless another snapshot has the same. It stays too while
 * a record cannot be read, which may name it.
 */
export async function dropPacked(managed: Managed, packed: string | undefined): Promise<void> {
  if (packed === undefined || !PACKED_NAME.test(packed)) {
    return;
  }
  const named = await namedStates(managed);
  if (named?.has(packed) === false) {
    await removeIfThere(join(managed.metadata.folder, packed));
  }
}

/** The packed states that the records of snapshots name, lost ones included; null while one cannot be read. */
export async function namedStates({
  domain,
  metadata,
}: Managed): Promise<ReadonlyMap<string, string> | null> {
  const named = new Map<string, string>();
  const texts = (await listRecords(domain)).map(({ xml }) => xml);
  for (const { path } of await listCopies(metadata.folder)) {
    const xml = await readCopy(path).catch(() => undefined);
    if (xml === undefined) {
      return null;
    }
    if (xml !== null) {
      texts.push(xml);
    }
  }
  for (const xml of texts) {
    // Parsing takes long, and most have none.
    if (xml.includes(' firmware="firmware-')) {
      const { name, firmware } = readSnapshot(await parse(xml));
      if (firmware !== undefined) {
        named.set(firmware, name);
      }
    }
  }
  return named;
}
