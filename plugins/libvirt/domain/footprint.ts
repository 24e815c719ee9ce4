import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Footprint } from "../../../lib/engine/contract.ts";
import { getManaged, type LibvirtEngine } from "../engine.ts";
import { readMacs } from "../xml/domain.ts";

/** Bytes of one block in what the file system tells of a file. */
const BLOCK = 512n;

/** What a domain is on this host. Of an adopted one, the disk that it brought along is not counted. */
export async function footprint(engine: LibvirtEngine, id: string): Promise<Footprint> {
  const { document, metadata } = await getManaged(engine, id);
  return { macs: readMacs(document), hostDisk: await bytesIn(metadata.folder) };
}

/** Null where the folder is not there or may not be read. */
async function bytesIn(folder: string): Promise<bigint | null> {
  try {
    const entries = await readdir(folder, { recursive: true });
    const sizes = entries.map((entry) =>
      stat(join(folder, entry), { bigint: true }).then(
        ({ blocks }) => blocks * BLOCK,
        // Removed meanwhile.
        () => 0n,
      ),
    );
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0n);
  } catch {
    return null;
  }
}
