import { join } from "node:path";
import type { Finding } from "../../../lib/engine/contract.ts";
import { isStrataError } from "../../../lib/errors.ts";
import { describesItself } from "../lifecycle/recover-folder.ts";
import { lockFile } from "../lock/lock.ts";
import { isLauncher } from "../mounts/launcher.ts";
import { DEFINITION } from "../snapshots/record-copies.ts";
import { exists, listIfThere, usedBases } from "../storage/pool.ts";

/** The domain that a UUID belongs to, as far as the pool is concerned. */
export interface Owner {
  readonly name: string;
  /** False for one without strata's metadata. */
  readonly ours: boolean;
}

/**
 * What lies in the pool, belongs to nobody and is held by nobody: a launch or an adoption may be at work in
 * a folder, and have yet to write into a domain whose it is. Changes nothing. The caller holds the pool's
 * lock, under which folders are made and locked: no launch meets the lock that is tried here.
 */
export async function findUnlocked(pool: string, owners: ReadonlyMap<string, Owner>): Promise<Finding[]> {
  const found = await findInPool(pool, owners);
  const unlocked = found.map(async (each) => ((await isLocked(each.subject)) ? [] : [each]));
  return (await Promise.all(unlocked)).flat();
}

async function isLocked(folder: string): Promise<boolean> {
  const path = join(folder, "lock");
  if (!(await exists(path))) {
    return false;
  }
  try {
    await using _lock = await lockFile(path, { name: folder, wait: 0, shared: true });
    return false;
  } catch (error) {
    if (isStrataError(error) && error.code === "BUSY") {
      return true;
    }
    throw error;
  }
}

/** What lies in the pool and belongs to nobody, at a glance: some of it may be a step of somebody's. */
export async function findInPool(pool: string, owners: ReadonlyMap<string, Owner>): Promise<Finding[]> {
  const root = join(pool, "instances");
  const strays = await orUnreadable(root, async () => {
    const folders = await listIfThere(root);
    return (
      await Promise.all(
        folders.map((uuid) => {
          const folder = join(root, uuid);
          return orUnreadable(folder, () => findInFolder(folder, owners.get(uuid)));
        }),
      )
    ).flat();
  });
  const images = join(pool, "images");
  return [...strays, ...(await orUnreadable(images, () => findInImages(pool, images)))];
}

/** What a look at the folder finds; a finding, where it cannot be looked at. */
async function orUnreadable(folder: string, look: () => Promise<Finding[]>): Promise<Finding[]> {
  return look().catch((error: unknown) => {
    if (!isStrataError(error)) {
      throw error;
    }
    return [{ kind: "unreadable", subject: folder, detail: error.message }];
  });
}

async function findInFolder(folder: string, owner: Owner | undefined): Promise<Finding[]> {
  if (owner?.ours === true) {
    return [];
  }
  const files = await listIfThere(folder);
  if (owner !== undefined) {
    return [
      {
        kind: "metadata-lost",
        subject: folder,
        detail: `the domain "${owner.name}" has its files in ${folder} and nothing of strata's in its definition`,
      },
    ];
  }
  if (files.every(isMadeAtLaunch)) {
    return [
      {
        kind: "folder-abandoned",
        subject: folder,
        detail: `${folder} is of a launch that died; no disk is in it`,
        repair: "remove it",
      },
    ];
  }
  if (await describesItself(folder)) {
    return [
      {
        kind: "domain-lost",
        subject: folder,
        detail: `${folder} has disks, and libvirt has no domain of that UUID; \`strata recover --from ${folder}\` brings it back`,
      },
    ];
  }
  return [
    {
      kind: "domain-lost",
      subject: folder,
      detail: `${folder} has files that strata cannot tell the use of (${named(files)}), and libvirt has no domain of that UUID`,
      choices: [{ name: "remove", detail: "remove the folder with all that is in it" }],
    },
  ];
}

function named(files: readonly string[]): string {
  const more = files.length > 3 ? ` and ${files.length - 3} more` : "";
  return `${files.slice(0, 3).join(", ")}${more}`;
}

/** What a launch makes that holds nothing of the user's. */
export function isMadeAtLaunch(file: string): boolean {
  return (
    file === "lock" ||
    file === "seed.iso" ||
    file === DEFINITION ||
    /^seed-[0-9A-Za-z]{6}$/.test(file) ||
    isLauncher(file)
  );
}

async function findInImages(pool: string, images: string): Promise<Finding[]> {
  const files = await listIfThere(images);
  if (files.length === 0) {
    return [];
  }
  const used = await usedBases(pool);
  const found: Finding[] = [];
  for (const file of files) {
    const path = join(images, file);
    if (/^[0-9a-f]{64}\.qcow2\.[0-9a-f-]{36}\.partial$/.test(file)) {
      found.push({
        kind: "copy-left",
        subject: path,
        detail: `${path} was being copied when its process died`,
        repair: "remove it",
      });
    } else if (/^[0-9a-f]{64}\.qcow2$/.test(file) && used !== null && !used.has(path)) {
      found.push({
        kind: "base-unused",
        subject: path,
        detail: `no disk stands on the base image ${path}`,
        repair: "remove it; it is copied again when it is needed",
      });
    }
  }
  return found;
}
