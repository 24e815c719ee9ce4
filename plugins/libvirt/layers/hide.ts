import { define, getLocked, type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import type { OperationOf } from "../journal/entry.ts";
import { finishHide } from "../journal/finish-hide.ts";
import { writeJournal } from "../journal/journal.ts";
import { finishInterrupted } from "../journal/recover.ts";
import { awaitSent } from "../lock/await-inflight.ts";
import { readPinned } from "../pins/pins.ts";
import { createOverlay } from "../qcow2/overlay.ts";
import { checkSpace } from "../storage/pool.ts";
import { coveredDisks, setDisks } from "../xml/disks.ts";
import { copy } from "../xml/document.ts";
import { requireDepth } from "./chain-limit.ts";
import { keepShort } from "./flattened/flattened.ts";
import { layerPlace, readLayers } from "./layers.ts";
import { newLayerPath } from "./names.ts";

/**
 * Puts a new active layer above each of the present ones, which become hidden layers: from now on, they do not change.
 * `switchTo` has libvirt go over to the new files, by their targets; a running guest goes on with them.
 */
export async function hideActiveLayers(
  engine: LibvirtEngine,
  managed: Managed,
  switchTo: (files: ReadonlyMap<string, string>) => Promise<void>,
): Promise<Managed> {
  const { name, document, metadata, domain } = managed;
  const disks = coveredDisks(document, metadata).map(({ target, file }) => ({
    target,
    file: newLayerPath(metadata.folder),
    old: file,
  }));
  const tops = disks.map(({ old }) => old);
  const graph = await readLayers(layerPlace(managed), tops);
  // Files that a guest or a backup reads cannot be given shorter chains.
  const isFixed = (await domain.isActive()) || (await readPinned(metadata.folder)).size > 0;
  const short = isFixed
    ? graph
    : await keepShort(engine, { name, active: tops }, graph, tops, runOptions(engine, domain.uuid));
  for (const top of tops) {
    requireDepth(name, short.opened(top).length + 1);
  }
  await checkSpace(metadata.folder);
  const [system, ...further] = disks;
  const { file = "", old = "" } = system ?? {};
  const operation: OperationOf<"hide"> = {
    kind: "hide",
    file,
    old,
    ...(further.length === 0 ? {} : { disks: further }),
  };
  await writeJournal(metadata.folder, operation);
  try {
    for (const disk of disks) {
      await createOverlay(disk.file, disk.old, { format: graph.formatOf(disk.old) });
    }
    await switchTo(new Map(disks.map((disk) => [disk.target, disk.file])));
    await finishHide(engine, await getLocked(engine, domain.uuid), operation);
  } catch (error) {
    await awaitSent(engine, domain.uuid, error);
    await finishInterrupted(engine, domain.uuid);
    throw error;
  }
  return getLocked(engine, domain.uuid);
}

/**
 * Before a guest writes: if a backup reads the active layers, they become hidden ones, so that the guest need not wait
 * for it. They are merged once nobody reads them.
 */
export async function leavePinned(engine: LibvirtEngine, managed: Managed): Promise<Managed> {
  const { document, metadata } = managed;
  const pinned = await readPinned(metadata.folder);
  if (!coveredDisks(document, metadata).some(({ file }) => pinned.has(file))) {
    return managed;
  }
  return hideActiveLayers(engine, managed, async (files) => {
    const changed = copy(document);
    setDisks(changed, files);
    await define(engine, changed);
  });
}
