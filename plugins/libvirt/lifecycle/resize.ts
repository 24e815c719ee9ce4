import type { Context, ResourceChange } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { defined } from "../../../lib/util/defined.ts";
import { define, type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { ENGINE } from "../errors.ts";
import { clearJournal, writeJournal } from "../journal/journal.ts";
import { getReady } from "../journal/recover.ts";
import { requireWritableNow } from "../layers/writable.ts";
import { awaitSent } from "../lock/await-inflight.ts";
import type { Format } from "../qcow2/header.ts";
import { readImage } from "../qcow2/image.ts";
import { growImage } from "../qcow2/qemu-img.ts";
import { requireCoverable } from "../snapshots/coverable.ts";
import { checkSpace } from "../storage/pool.ts";
import { managedTarget, readDisk, writtenDisks } from "../xml/disks.ts";
import { ownFormats } from "../xml/own-files.ts";
import { defineCpusAndMemory, planCpusAndMemory } from "./cpus-and-memory.ts";
import { isSaved } from "./power.ts";

/** Changes CPUs, memory and disks of a stopped instance; all or nothing. */
export async function resize(
  engine: LibvirtEngine,
  id: string,
  change: ResourceChange,
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
  const grown = await grownDisks(managed, change);
  const { cpus, memory } = change;
  const sized = defined({ cpus, memory });
  const planned = await planCpusAndMemory(engine, managed, sized);
  if (grown.length === 0) {
    return defineCpusAndMemory(engine, managed, planned, sized);
  }
  await requireWritableNow(managed);
  await checkSpace(managed.metadata.folder);
  const { folder } = managed.metadata;
  const [system, ...further] = await sizesAfter(managed, grown);
  await writeJournal(folder, {
    kind: "resize",
    disk: system?.size ?? "",
    ...(cpus === undefined ? {} : { cpus: String(cpus) }),
    ...(memory === undefined ? {} : { memory: String(memory) }),
    ...(further.length === 0 ? {} : { disks: further }),
  });
  try {
    await defineCpusAndMemory(engine, managed, planned, sized);
    for (const { file, size, format } of grown) {
      await growImage(file, size, runOptions(engine, id, context), format);
    }
  } catch (error) {
    // All or nothing. If a disk has grown, the entry stays, and the next command that locks the instance finishes
    // the resize. Otherwise the definition is as it was before.
    await awaitSent(engine, id, error);
    if (!(await anyHasGrown(grown))) {
      await define(engine, document);
      await clearJournal(folder);
    }
    throw error;
  }
  await clearJournal(folder);
}

/** A disk that is to grow. */
interface GrownDisk {
  readonly target: string;
  readonly file: string;
  readonly format: Format;
  /** Bytes. */
  readonly size: bigint;
}

/** The disks that the change makes larger. Rejects for one that it would make smaller, or that is not there. */
async function grownDisks(managed: Managed, change: ResourceChange): Promise<GrownDisk[]> {
  const { name, document, metadata } = managed;
  const disks = writtenDisks(document, metadata);
  const formats = ownFormats(document, metadata);
  const [system, ...further] = disks;
  const wanted = (change.disks ?? []).map(({ name: target, size }) => {
    const disk = further.find((each) => each.target === target);
    if (disk === undefined) {
      throw failure("DISK_NOT_FOUND", { name, disk: target });
    }
    return { ...disk, size };
  });
  if (system !== undefined && change.disk !== undefined) {
    wanted.unshift({ ...system, size: change.disk });
  }
  const grown: GrownDisk[] = [];
  for (const { target, file, size } of wanted) {
    requireCoverable(managed, [{ target, file }], "growing");
    const format = formats.get(file) ?? "qcow2";
    const { virtualSize } = await readImage(file, format);
    if (size < virtualSize) {
      const which = target === system?.target ? {} : { disk: target };
      throw failure("DISK_SHRINK", { name, current: virtualSize, wanted: size, ...which });
    }
    if (size > virtualSize) {
      requireGrowable(name, target, file);
      grown.push({ target, file, size, format });
    }
  }
  return grown;
}

/** Rejects for a device of the host, which strata does not grow. */
function requireGrowable(name: string, target: string, file: string): void {
  if (file.startsWith("/dev/")) {
    throw failure("UNSUPPORTED", {
      what: `growing disk ${target} of "${name}"`,
      engine: ENGINE,
      reason: `${file} is a device of the host; grow that, as with lvextend`,
    });
  }
}

/** The size of the system disk after a resize, then those of the others that grow. */
async function sizesAfter(
  { document, metadata }: Managed,
  grown: readonly GrownDisk[],
): Promise<{ readonly target: string; readonly size: string }[]> {
  const target = managedTarget(document);
  const own = grown.find((disk) => disk.target === target);
  const file = readDisk(document);
  const format = ownFormats(document, metadata).get(file) ?? "qcow2";
  const size = own?.size ?? (await readImage(file, format)).virtualSize;
  const further = grown.filter((disk) => disk !== own);
  return [{ target, size }, ...further].map((disk) => ({ target: disk.target, size: String(disk.size) }));
}

async function anyHasGrown(grown: readonly GrownDisk[]): Promise<boolean> {
  for (const disk of grown) {
    if (await hasGrown(disk)) {
      return true;
    }
  }
  return false;
}

async function hasGrown({ file, size, format }: GrownDisk): Promise<boolean> {
  return readImage(file, format).then(
    ({ virtualSize }) => virtualSize === size,
    () => false,
  );
}
