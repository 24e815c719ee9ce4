import { readdir, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf, failure } from "../../../lib/errors.ts";
import { isConsoleLog } from "../console/log-file.ts";
import { type LibvirtEngine, type Managed, writeMetadata } from "../engine.ts";
import { fileError, isLibvirt } from "../errors.ts";
import { isStagedVariables, isVariablesName } from "../firmware/places.ts";
import { firmwareFlags } from "../firmware/removal.ts";
import { PACKED_NAME } from "../firmware/state.ts";
import { JOURNAL, SET_ASIDE } from "../journal/journal.ts";
import { readGraph } from "../layers/graph.ts";
import { isImagePath } from "../layers/names.ts";
import { PENDING_REMOVALS } from "../layers/pending-removals.ts";
import { lockFile } from "../lock/lock.ts";
import { MEMORY_NAME } from "../memory/files.ts";
import { isLauncher } from "../mounts/launcher.ts";
import { requireNoPins } from "../pins/pins.ts";
import { readHeaderSync } from "../qcow2/header.ts";
import { UndefineFlags } from "../rpc/index.ts";
import { RECORD_BACKUP } from "../snapshots/record-backup.ts";
import { DEFINITION, RECORDS } from "../snapshots/record-copies.ts";
import { listRecords } from "../snapshots/records.ts";
import { TEMPORARY } from "../storage/durable-file.ts";
import { basePath, CDROM, usedBases } from "../storage/pool.ts";
import { readDisk, readOtherDisks } from "../xml/disks.ts";

const UNDEFINE =
  UndefineFlags.MANAGED_SAVE | UndefineFlags.SNAPSHOTS_METADATA | UndefineFlags.CHECKPOINTS_METADATA;

/** Files that strata puts into an instance's folder, other than images and launchers. */
const OTHERS: readonly string[] = [
  "seed.iso",
  CDROM,
  "lock",
  RECORD_BACKUP,
  JOURNAL,
  PENDING_REMOVALS,
  DEFINITION,
];

/** Folder of an instance in the pool. */
export function instanceFolder(pool: string, uuid: string): string {
  return join(pool, "instances", uuid);
}

/** Locks what instances share: the base images, and the list of folders. Held only for moments. */
export function lockPool(pool: string, wait = 600_000) {
  return lockFile(join(pool, "lock"), { name: "the storage pool", wait });
}

/**
 * Removes an instance permanently. The operation `purge` stays in the domain's metadata until all files are
 * gone, so that the next command continues after a crash. The disk and firmware variables of an adopted
 * domain are kept. The caller has locked the instance.
 */
export async function removeInstance(engine: LibvirtEngine, managed: Managed): Promise<void> {
  const { domain, name, metadata } = managed;
  const pool = await engine.pool();
  if (metadata.folder !== instanceFolder(pool, domain.uuid)) {
    throw failure("RECORDS_DIFFER", {
      name,
      reason: `its folder ${metadata.folder} is not the one in the pool ${pool}`,
    });
  }
  await requireNoPins(metadata.folder);
  await writeMetadata(managed, { operation: { kind: "purge" } });
  if (await domain.isActive()) {
    await domain.destroy().catch((error: unknown) => {
      if (!isLibvirt(error, "OPERATION_INVALID")) {
        throw error;
      }
    });
  }
  const { folder } = metadata;
  const named = await namedFiles(managed);
  await removeFiles(engine, folder, (path) => isImagePath(folder, path) || named.has(path));
  await domain.undefine(UNDEFINE | (await firmwareFlags(engine, managed)));
  await using _lock = await lockPool(pool);
  await removeUnusedBase(pool, metadata.record.image.sha256);
}

/**
 * Files in the folder that belong to the instance although strata did not name them: layers that libvirt
 * created, referred to by the definition and records or standing on the instance's own, and memory that it
 * saved there.
 */
async function namedFiles(managed: Managed): Promise<ReadonlySet<string>> {
  const { domain, document, metadata } = managed;
  const { folder } = metadata;
  const records = await listRecords(domain).catch(() => []);
  const graph = await readGraph(managed).catch(() => undefined);
  const above = [...(graph?.headers ?? [])].flatMap(([path, { backing }]) =>
    backing !== null && dirname(backing) === folder ? [path] : [],
  );
  const frozen = records.flatMap((record) => record.frozen);
  const memory = records.flatMap(
    ({ xml }) => /<memory snapshot='external' file='([^'&]+)'/.exec(xml)?.[1] ?? [],
  );
  return new Set([readDisk(document), ...readOtherDisks(document), ...frozen, ...above, ...memory]);
}

/**
 * Removes from an instance's folder what strata puts there, and the images that `mayGo` allows. Anything else
 * is kept, with a warning.
 */
export async function removeFiles(
  engine: Pick<LibvirtEngine, "log">,
  folder: string,
  mayGo: (image: string) => boolean = (path) => isImagePath(folder, path),
): Promise<void> {
  try {
    for (const entry of await readdir(folder)) {
      const path = join(folder, entry);
      if (mayGo(path) || isLauncher(entry) || isOurs(entry) || isOnSeed(path)) {
        await rm(path, { force: true });
      } else if (entry === RECORDS) {
        await rm(path, { recursive: true, force: true });
      } else if (/^seed-[0-9A-Za-z]{6}$/.test(entry)) {
        await rm(path, { recursive: true, force: true });
      }
    }
    await rmdir(folder);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT") {
      return;
    }
    if (code !== "ENOTEMPTY") {
      throw fileError(error, folder);
    }
    engine.log.warn(`${folder} was not removed, because it contains files that strata did not create`);
  }
}

function isOurs(entry: string): boolean {
  return (
    OTHERS.includes(entry) ||
    PACKED_NAME.test(entry) ||
    MEMORY_NAME.test(entry) ||
    isVariablesName(entry) ||
    isStagedVariables(entry) ||
    isConsoleLog(entry) ||
    SET_ASIDE.test(entry) ||
    TEMPORARY.test(entry) ||
    REPLACED.test(entry)
  );
}

/** True for an overlay on the seed, which has no data of the user's. */
function isOnSeed(path: string): boolean {
  if (!/\/seed\.[^/]+$/.test(path)) {
    return false;
  }
  try {
    return readHeaderSync(path).backing === join(dirname(path), "seed.iso");
  } catch {
    return false;
  }
}

const REPLACED = /^layer-[0-9a-f-]{36}\.qcow2\.replaced$/;

/** Removes a base image that no disk in the pool stands on. The caller has locked the pool. */
async function removeUnusedBase(pool: string, sha256: string): Promise<void> {
  if (sha256 === "") {
    return;
  }
  const base = basePath(pool, sha256);
  const used = await usedBases(pool);
  if (used !== null && !used.has(base)) {
    await rm(base, { force: true });
  }
}
