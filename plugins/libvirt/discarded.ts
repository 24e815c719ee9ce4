import { type Managed, writeMetadata } from "./engine.ts";
import { readGraph } from "./graph.ts";
import { isLayerPath, removeLayer, sizeOf } from "./layers.ts";
import { hasSpace } from "./pool.ts";
import { type FrozenRecord, isFrozenIn, listFrozen } from "./snapshot-records.ts";
import { readDisk } from "./xml/domain.ts";

/** Most that disks which restores have left may take until they are taken away, bytes. */
const LARGEST = 256n * 1024n ** 2n;
/** Least that must be free beside them, bytes. */
const FREE = 1024n ** 3n;
/** Most of them. */
const MOST = 16;

/**
 * The note to leave of disks that restores have left. That nothing needs one is known only when every record
 * was read, which takes longer than all the rest of a restore once there are some thirty. So small ones
 * wait for whoever reads the records anyway: a start, a stop, a deletion. When many or large ones wait, all
 * are taken away at once.
 */
export async function discard(managed: Managed, path: string): Promise<readonly string[]> {
  const { folder, discarded = [] } = managed.metadata;
  const waiting = [...discarded.filter((other) => other !== path), path];
  const waits =
    waiting.length <= MOST &&
    isLayerPath(folder, path) &&
    (await sizeOf(waiting)) <= LARGEST &&
    (await hasSpace(folder, FREE));
  if (waits) return waiting;
  await removeUnused(managed, waiting);
  return [];
}

/** Takes away the disks that wait for it. The domain is settled, and held. */
export async function clearDiscarded(managed: Managed, records: readonly FrozenRecord[]): Promise<void> {
  const { discarded } = managed.metadata;
  if (discarded === undefined) return;
  await removeUnused(managed, discarded, records);
  await writeMetadata(managed, { discarded: [] });
}

/**
 * Removes layers that no snapshot froze, nothing stands on and the domain does not use, then whatever hidden
 * layers are left without dependants below them. All records and headers are read once, before.
 */
export async function removeUnused(
  managed: Managed,
  paths: readonly string[],
  known?: readonly FrozenRecord[],
): Promise<void> {
  const { folder } = managed.metadata;
  const head = readDisk(managed.document);
  const records = known ?? (await listFrozen(managed.domain));
  const graph = await readGraph(managed, records);
  const frozen = new Set(records.map((record) => record.frozen));
  const below = new Set([...graph.standIns.values()].map(({ backing }) => backing));
  const removed = new Set<string>();
  const isUnused = async (path: string) =>
    isLayerPath(folder, path) &&
    path !== head &&
    !frozen.has(path) &&
    !below.has(path) &&
    graph.dependants(path).every((other) => removed.has(other)) &&
    !(await isFrozenIn(records, path));
  for (const path of paths)
    for (let at: string | null = path; at !== null && (await isUnused(at)); ) {
      await removeLayer(folder, at);
      removed.add(at);
      at = graph.headers.get(at)?.backing ?? null;
    }
}
