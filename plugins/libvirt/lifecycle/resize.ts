import type { Context, Resources } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { define, type LibvirtEngine, runOptions } from "../engine.ts";
import { clearJournal, writeJournal } from "../journal/journal.ts";
import { getReady } from "../journal/recover.ts";
import { requireWritableNow } from "../layers/writable.ts";
import { awaitSent } from "../lock/await-inflight.ts";
import { readHeader } from "../qcow2/header.ts";
import { growImage } from "../qcow2/qemu-img.ts";
import { checkSpace } from "../storage/pool.ts";
import { readDisk } from "../xml/disks.ts";
import { defineCpusAndMemory, planCpusAndMemory } from "./cpus-and-memory.ts";
import { isSaved } from "./power.ts";

/** Changes CPUs, memory and disk of a stopped instance; all or nothing. */
export async function resize(
  engine: LibvirtEngine,
  id: string,
  change: Partial<Resources>,
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id, context);
  context.signal.throwIfAborted();
  const { domain, name, document } = managed;
  const reason = "Only stopped instances can be resized";
  if (await isSaved(managed)) {
    throw failure("INSTANCE_SUSPENDED", { name, reason });
  }
  if (await domain.isActive()) {
    throw failure("WRONG_STATE", { name, reason, state: "Running" });
  }
  const activeLayer = readDisk(document);
  const { virtualSize } = await readHeader(activeLayer);
  const { disk } = change;
  if (disk !== undefined && disk < virtualSize) {
    throw failure("DISK_SHRINK", { name, current: virtualSize, wanted: disk });
  }
  const { cpus, memory } = change;
  const sized = { ...(cpus === undefined ? {} : { cpus }), ...(memory === undefined ? {} : { memory }) };
  const planned = await planCpusAndMemory(engine, managed, sized);
  const grows = disk !== undefined && disk > virtualSize;
  if (grows) {
    await requireWritableNow(managed);
    await checkSpace(managed.metadata.folder);
  }
  if (!grows) {
    return defineCpusAndMemory(engine, managed, planned, sized);
  }
  const { folder } = managed.metadata;
  await writeJournal(folder, {
    kind: "resize",
    disk: String(disk),
    ...(cpus === undefined ? {} : { cpus: String(cpus) }),
    ...(memory === undefined ? {} : { memory: String(memory) }),
  });
  try {
    await defineCpusAndMemory(engine, managed, planned, sized);
    await growImage(activeLayer, disk, runOptions(engine, id, context));
  } catch (error) {
    // All or nothing. If the disk has grown and was only not flushed, its entry stays, and the next command
    // that locks the instance finishes the resize. Otherwise the definition is as it was before.
    await awaitSent(engine, id, error);
    if (!(await hasGrown(activeLayer, disk))) {
      await define(engine, document);
      await clearJournal(folder);
    }
    throw error;
  }
  await clearJournal(folder);
}

async function hasGrown(activeLayer: string, size: bigint): Promise<boolean> {
  return readHeader(activeLayer).then(
    ({ virtualSize }) => virtualSize === size,
    () => false,
  );
}
