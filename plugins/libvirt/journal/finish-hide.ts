import { dirname } from "node:path";
import { ownDefinition } from "../domain/definition-chain.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import { addPendingRemoval } from "../layers/pending-removals.ts";
import { removeStrays } from "../layers/stray.ts";
import { readDisk } from "../xml/disks.ts";
import type { OperationOf } from "./entry.ts";
import { clearJournal } from "./journal.ts";

/**
 * Records that the old active layers are hidden ones, which may be merged; or removes the new ones, if the domain did
 * not go over to them.
 */
export async function finishHide(
  engine: LibvirtEngine,
  managed: Managed,
  { file, old, disks: further = [] }: OperationOf<"hide">,
): Promise<void> {
  const { folder } = managed.metadata;
  const all = [{ file, old }, ...further];
  if (readDisk(managed.document) === file) {
    for (const disk of all) {
      // A guest may have written the old one until libvirt switched; nobody writes it any more.
      if (dirname(disk.old) === folder) {
        await addPendingRemoval(disk.old);
      }
    }
    await ownDefinition(engine, managed);
  } else {
    await removeStrays(
      engine,
      managed,
      all.map((disk) => disk.file),
    );
  }
  await clearJournal(folder);
}
