import { stat } from "node:fs/promises";
import { join } from "node:path";
import { isLibvirt } from "../errors.ts";
import { readBackingFiles } from "../qcow2/header.ts";
import { type Connection, type Domain, DomainXmlFlags, type StoragePool } from "../rpc/index.ts";
import { type Element, elements, find, parse, text } from "../xml/document.ts";
import { formatOfDisk } from "../xml/own-files.ts";

/** Which domains use a file, as a disk or as the backing file of one. */
export type DiskUsers = (path: string) => Promise<readonly Domain[]>;

/** Reads the disks of all domains, strata's and others, with their backing files. */
export async function readDiskUsers(connection: Connection): Promise<DiskUsers> {
  const users = new Map<string, Domain[]>();
  for (const domain of await connection.listDomains()) {
    for (const file of await filesOf(connection, domain)) {
      users.set(file, [...(users.get(file) ?? []), domain]);
    }
  }
  return async (path) => users.get(await identity(path)) ?? [];
}

async function filesOf(connection: Connection, domain: Domain): Promise<ReadonlySet<string>> {
  const files = new Set<string>();
  try {
    // A running domain may use other disks than after its next start.
    const flags = (await domain.isActive()) ? [DomainXmlFlags.INACTIVE, 0] : [DomainXmlFlags.INACTIVE];
    for (const each of flags) {
      const document = await parse(await domain.getXml(each));
      for (const disk of elements(find(document, "devices"), "disk")) {
        for (const { source, format } of sourcesOf(disk)) {
          await addChain(files, await pathOf(connection, source), format);
        }
      }
    }
  } catch (error) {
    if (!isLibvirt(error, "NO_DOMAIN")) {
      throw error;
    }
  }
  return files;
}

/** The files of a disk: its source, the backing files in its definition, and the target of a copy. */
function sourcesOf(disk: Element, format = formatOfDisk(disk)): Source[] {
  const further = ["backingStore", "mirror"].flatMap((name) => elements(disk, name));
  return [
    ...elements(disk, "source").map((source) => ({ source, format })),
    ...further.flatMap((each) => sourcesOf(each, find(each, "format")?.attributes.type ?? "raw")),
  ];
}

interface Source {
  readonly source: Element;
  readonly format: string;
}

/** The file or device that a source names, directly or as a volume of a pool. */
async function pathOf(connection: Connection, { attributes }: Element): Promise<string | undefined> {
  const { file, dev, pool: poolName, volume } = attributes;
  if (poolName === undefined || volume === undefined) {
    return file ?? dev;
  }
  try {
    return await pathOfVolume(await connection.lookupStoragePoolByName(poolName), volume);
  } catch (error) {
    // A pool that does not exist has no volumes.
    if (isLibvirt(error, "NO_STORAGE_POOL")) {
      return undefined;
    }
    throw error;
  }
}

async function pathOfVolume(pool: StoragePool, name: string): Promise<string> {
  try {
    return await (await pool.lookupVolumeByName(name)).getPath();
  } catch (error) {
    // Until it is started or refreshed, a pool does not know its files.
    if (!isLibvirt(error, "NO_STORAGE_VOL", "OPERATION_INVALID")) {
      throw error;
    }
    return join(text(find(await parse(await pool.getXml()), "target", "path")), name);
  }
}

async function addChain(files: Set<string>, path: string | undefined, format: string | null): Promise<void> {
  if (path === undefined) {
    return;
  }
  const file = await identity(path);
  if (files.has(file)) {
    return;
  }
  files.add(file);
  // What the guest of a raw disk has written there is no header.
  if (format === "raw") {
    return;
  }
  const below = await readBackingFiles(path).catch(() => null);
  for (const backing of below?.files ?? []) {
    await addChain(files, backing, below?.format ?? null);
  }
}

/** All names of a file, with links resolved. */
async function identity(path: string): Promise<string> {
  return stat(path, { bigint: true }).then(
    (found) => (found.isBlockDevice() ? `device ${found.rdev}` : `${found.dev}:${found.ino}`),
    () => path,
  );
}

/** True if a file of that format is another one or stands on it, under any name. */
export async function standsOn(path: string, other: string, format: string): Promise<boolean> {
  const files = new Set<string>();
  await addChain(files, path, format);
  return files.has(await identity(other));
}
