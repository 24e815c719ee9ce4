import { stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Instance, InstanceStorage, StorageUsage } from "../../engine/contract.ts";
import type { ImageInfo } from "../../images/image-info.ts";
import type { DiskUsage, FileSystemUsage, ImageUsage, InstanceUsage } from "../api/strata.ts";
import { displayState } from "../instances/instances.ts";
import { askAll } from "../session/engines.ts";
import type { Session } from "../session/session.ts";

/** What one engine has. */
interface EngineUsage {
  readonly engine: string;
  readonly storage: StorageUsage | undefined;
  readonly instances: readonly (InstanceUsage & { readonly image: string })[];
}

/** What strata's files take on this host, on all engines of the configuration. */
export async function diskUsage(session: Session): Promise<DiskUsage> {
  const [images, { found, failures }] = await Promise.all([
    (await session.images()).list(),
    askAll(session, async (each) => [await engineUsage(each)]),
  ]);
  const instances = found.flatMap((each) => each.instances);
  const folders = found.flatMap(({ storage }) => storage?.folders ?? []);
  const store = images.some(({ system }) => system) ? [session.imageStore()] : [];
  const own = [join(session.folders.cache, "images"), ...store];
  return {
    images: imageUsages(images, found, instances).sort((a, b) => Number(b.size - a.size)),
    instances: instances.map(({ image: _, ...usage }) => usage).sort((a, b) => (a.name < b.name ? -1 : 1)),
    fileSystems: await fileSystemsOf([...own, ...folders]),
    failures,
  };
}

async function engineUsage(session: Session): Promise<EngineUsage> {
  const engine = await session.engine();
  const storage = await engine.storage?.();
  const parts = new Map(storage?.instances.map((each) => [each.id, each]));
  const instances = (await engine.instances.list()).map(async (instance) => {
    const known = parts.get(instance.id);
    const size = known === undefined ? await hostDisk(session, instance) : sumOf(known);
    return usageOf(session, instance, known, size);
  });
  return { engine: session.engineName, storage, instances: await Promise.all(instances) };
}

/** Of an engine that tells no more of an instance. */
async function hostDisk(session: Session, { id }: Instance): Promise<bigint | null> {
  const { instances } = await session.engine();
  const footprint = await instances.footprint?.(id).catch(() => undefined);
  return footprint?.hostDisk ?? null;
}

function sumOf({ active, snapshots, flattened, memory, other }: InstanceStorage): bigint {
  return active + snapshots + flattened + memory + other;
}

function usageOf(
  session: Session,
  instance: Instance,
  known: InstanceStorage | undefined,
  size: bigint | null,
): EngineUsage["instances"][number] {
  const { name, record } = instance;
  const { id: _, ...parts } = known ?? { id: "" };
  return {
    name,
    engine: session.engineName,
    state: displayState(instance),
    parts: known === undefined ? null : (parts as Omit<InstanceStorage, "id">),
    size,
    reclaimable: record.deleted ? (size ?? 0n) : 0n,
    image: record.image.sha256,
  };
}

/** Each image once, wherever it is. */
function imageUsages(
  images: readonly ImageInfo[],
  engines: readonly EngineUsage[],
  instances: EngineUsage["instances"],
): ImageUsage[] {
  const copies = engines.flatMap(({ storage }) => storage?.images ?? []);
  const sums = new Set([...images, ...copies].map(({ sha256 }) => sha256));
  return [...sums].map((sha256) => {
    const same = images.filter((image) => image.sha256 === sha256);
    const total = (sizes: readonly { readonly size: bigint }[]) =>
      sizes.reduce((sum, { size }) => sum + size, 0n);
    const own = total(same.filter(({ system }) => !system));
    const system = total(same.filter((image) => image.system));
    const kept = total(copies.filter((copy) => copy.sha256 === sha256));
    const usedBy = instances.filter(({ image }) => image === sha256).map(({ name }) => name);
    const ours = own + kept + (process.getuid?.() === 0 ? system : 0n);
    return {
      sha256,
      aliases: [...new Set(same.flatMap(({ aliases }) => aliases))],
      own,
      system,
      engines: kept,
      size: own + system + kept,
      usedBy: usedBy.sort(),
      reclaimable: usedBy.length === 0 ? ours : 0n,
    };
  });
}

/** The file systems of folders, each once; of a folder that is not there, the one that it would be in. */
async function fileSystemsOf(folders: readonly string[]): Promise<FileSystemUsage[]> {
  const found = new Map<bigint, FileSystemUsage>();
  for (const folder of new Set(folders)) {
    const there = await nearestThere(folder);
    const { dev } = await stat(there, { bigint: true });
    const { bsize, blocks, bavail } = await statfs(there, { bigint: true });
    const before = found.get(dev)?.folders ?? [];
    found.set(dev, { folders: [...before, folder], size: blocks * bsize, free: bavail * bsize });
  }
  return [...found.values()];
}

async function nearestThere(folder: string): Promise<string> {
  const there = await stat(folder).then(
    () => true,
    () => false,
  );
  return there || dirname(folder) === folder ? folder : nearestThere(dirname(folder));
}
