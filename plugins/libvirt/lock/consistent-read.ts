import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { isStrataError } from "../../../lib/errors.ts";
import { getManaged, type LibvirtEngine } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { activeLayers } from "../xml/disks.ts";
import { serialize } from "../xml/document.ts";

/** Errors that a reader without the lock may meet while another process changes layers. */
const TRANSIENT = ["LAYER_MISSING", "LAYER_UNREADABLE", "RECORDS_DIFFER"];

/**
 * Retries a read without the lock until its result is complete, or until the instance did not change between
 * two reads.
 */
export async function readConsistently<T>(
  engine: LibvirtEngine,
  id: string,
  look: () => Promise<T>,
  isComplete: (value: T) => boolean,
): Promise<T> {
  for (let before: string | undefined; ; ) {
    const seen = await look().then(
      (value) => ({ value }),
      (error: unknown) => {
        if (!isTransient(error)) {
          throw error;
        }
        return { error };
      },
    );
    if ("value" in seen && isComplete(seen.value)) {
      return seen.value;
    }
    const now = await stateOf(engine, id);
    if (now === before) {
      if ("value" in seen) {
        return seen.value;
      }
      throw seen.error;
    }
    before = now;
  }
}

function isTransient(error: unknown): boolean {
  if (isLibvirt(error, "NO_DOMAIN_SNAPSHOT")) {
    return true;
  }
  return isStrataError(error) && TRANSIENT.includes(error.code);
}

/**
 * Differs after every change of the definition, the snapshots or the files, but not when a guest writes,
 * which may never end. Whatever changes layers changes more than the active layers' contents.
 */
async function stateOf(engine: LibvirtEngine, id: string): Promise<string> {
  const { domain, document, metadata } = await getManaged(engine, id);
  const { folder } = metadata;
  const active = activeLayers(document);
  const files = await readdir(folder).catch((): string[] => []);
  const [snapshots, ...found] = await Promise.all([
    domain.listSnapshots(),
    ...files.map(async (file) => {
      const path = join(folder, file);
      const { ino, mtimeMs } = await stat(path).catch(() => ({ ino: 0, mtimeMs: 0 }));
      return `${file} ${ino} ${active.includes(path) ? "" : mtimeMs}`;
    }),
  ]);
  return [serialize(document), ...snapshots.map(({ name }) => name), ...found].join("\n");
}
