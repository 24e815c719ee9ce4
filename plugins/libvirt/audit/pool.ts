import { join } from "node:path";
import type { Finding } from "../../../lib/engine/contract.ts";
import { isStrataError } from "../../../lib/errors.ts";
import { quote } from "../../../lib/util/quote.ts";
import { isConsoleLog } from "../console/log-file.ts";
import { describesItself } from "../lifecycle/recover-folder.ts";
import { lockFile } from "../lock/lock.ts";
import { isLauncher } from "../mounts/launcher.ts";
import { DEFINITION } from "../snapshots/record-copies.ts";
import { CDROM, exists, listIfThere, usedBases } from "../storage/pool.ts";

/** The domain that a UUID belongs to, as far as the pool needs to know. */
export interface Owner {
  readonly name: string;
  /** False for a domain without strata's metadata. */
  readonly ours: boolean;
}

/**
 * Files in the pool that have no owner and are not locked: a launch or an adoption may be using a folder
 * before its domain exists. Changes nothing. The caller has locked the pool, under whose lock folders are
 * created and locked: no launch fails because of the lock that is tried here.
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

/** Files in the pool that have no owner, without locking: some may belong to an operation in progress. */
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

/** What `look` finds in the folder; a finding, if the folder cannot be read. */
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
        detail: `the domain "${owner.name}" has its files in ${folder}, but its definition has lost strata's metadata`,
      },
    ];
  }
  if (files.every(isMadeAtLaunch)) {
    return [
      {
        kind: "folder-abandoned",
        subject: folder,
        detail: `${folder} was left by an interrupted launch and contains no disk`,
        repair: "remove it",
      },
    ];
  }
  if (await describesItself(folder)) {
    return [
      {
        kind: "domain-lost",
        subject: folder,
        detail: `${folder} contains disks, but libvirt has no domain with its UUID; to recover the instance, run \`strata recover --from ${quote(folder)}\``,
      },
    ];
  }
  return [
    {
      kind: "domain-lost",
      subject: folder,
      detail: `${folder} contains unknown files (${named(files)}), and libvirt has no domain with its UUID`,
      choices: [{ name: "remove", detail: "remove the folder with all its files" }],
    },
  ];
}

function named(files: readonly string[]): string {
  const more = files.length > 3 ? ` and ${files.length - 3} more` : "";
  return `${files.slice(0, 3).join(", ")}${more}`;
}

/** True for a file that a launch creates and that has no data of the user's. */
export function isMadeAtLaunch(file: string): boolean {
  return (
    file === "lock" ||
    file === "seed.iso" ||
    file === CDROM ||
    file === DEFINITION ||
    /^seed-[0-9A-Za-z]{6}$/.test(file) ||
    isConsoleLog(file) ||
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
        detail: `${path} is an incomplete file of an interrupted copy`,
        repair: "remove it",
      });
    } else if (/^[0-9a-f]{64}\.qcow2$/.test(file) && used !== null && !used.has(path)) {
      found.push({
        kind: "base-unused",
        subject: path,
        detail: `no disk stands on the base image ${path}`,
        repair: "remove it; it is copied again when needed",
      });
    }
  }
  return found;
}
