import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Finding } from "../../lib/backend/contract.ts";
import { isLauncher } from "./launcher.ts";
import { readHeader } from "./qcow2-header.ts";

/** The domain that a UUID belongs to, as far as the pool is concerned. */
export interface Owner {
  readonly name: string;
  /** False for one without strata's metadata. */
  readonly ours: boolean;
}

/**
 * What lies in the pool and belongs to nobody. Changes nothing. The caller holds the pool's lock, under
 * which instances come and go.
 */
export async function findInPool(pool: string, owners: ReadonlyMap<string, Owner>): Promise<Finding[]> {
  const root = join(pool, "instances");
  const folders = await list(root);
  const strays = await Promise.all(folders.map((uuid) => findInFolder(join(root, uuid), owners.get(uuid))));
  return [...strays.flat(), ...(await findInImages(pool, folders))];
}

async function findInFolder(folder: string, owner: Owner | undefined): Promise<Finding[]> {
  if (owner?.ours === true) return [];
  const files = await list(folder);
  if (owner !== undefined)
    return [
      {
        kind: "metadata-lost",
        subject: folder,
        detail: `the domain "${owner.name}" has its files in ${folder} and nothing of strata's in its definition`,
      },
    ];
  if (files.every(isMadeAtLaunch))
    return [
      {
        kind: "folder-abandoned",
        subject: folder,
        detail: `${folder} is of a launch that died; no disk is in it`,
        repair: "remove it",
      },
    ];
  return [
    {
      kind: "domain-lost",
      subject: folder,
      detail: `${folder} has disks, and there is no domain of that UUID: it was undefined by somebody else`,
    },
  ];
}

/** What a launch makes that holds nothing of the user's. */
export function isMadeAtLaunch(file: string): boolean {
  return file === "lock" || file === "seed.iso" || /^seed-[0-9A-Za-z]{6}$/.test(file) || isLauncher(file);
}

async function findInImages(pool: string, folders: readonly string[]): Promise<Finding[]> {
  const images = join(pool, "images");
  const files = await list(images);
  if (files.length === 0) return [];
  const used = await usedBases(pool, folders);
  const found: Finding[] = [];
  for (const file of files) {
    const path = join(images, file);
    if (/^[0-9a-f]{64}\.qcow2\.[0-9a-f-]{36}\.partial$/.test(file))
      found.push({
        kind: "copy-left",
        subject: path,
        detail: `${path} was being copied when its process died`,
        repair: "remove it",
      });
    // A file that cannot be read may stand on any.
    else if (/^[0-9a-f]{64}\.qcow2$/.test(file) && used !== null && !used.has(path))
      found.push({
        kind: "base-unused",
        subject: path,
        detail: `no disk stands on the base image ${path}`,
        repair: "remove it; it is copied again when it is needed",
      });
  }
  return found;
}

/** The files that disks in the pool stand on; null where one of them cannot be read. */
async function usedBases(pool: string, folders: readonly string[]): Promise<Set<string> | null> {
  const used = new Set<string>();
  for (const uuid of folders) {
    const folder = join(pool, "instances", uuid);
    for (const file of await list(folder)) {
      if (!file.endsWith(".qcow2")) continue;
      const header = await readHeader(join(folder, file)).catch(() => undefined);
      if (header === undefined && (await isThere(join(folder, file)))) return null;
      if (header?.backing != null) used.add(header.backing);
    }
  }
  return used;
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function list(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}
