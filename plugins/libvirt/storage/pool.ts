import { chmod, chown, constants, copyFile, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ImageSource } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { requireSpace } from "../../../lib/util/free-space.ts";
import { makeFolder } from "../../../lib/util/own-files.ts";
import { newUuid } from "../../../lib/util/uuid.ts";
import { fileError, isAbsent, isLibvirt } from "../errors.ts";
import { isQcow2, readHeader } from "../qcow2/header.ts";
import { flush } from "../qcow2/qemu-img.ts";
import type { Connection } from "../rpc/index.ts";
import { element, find, parse, serialize, text } from "../xml/document.ts";

/** Name of strata's storage pool. The administrator may define a pool of this name elsewhere. */
export const POOL = "strata";

/** Free space that an overlay and libvirt's own records need, bytes. */
const RESERVED_BYTES = 4n * 1024n * 1024n;

/** The folder of the pool, which is defined and started if it is missing. */
export async function openPool(connection: Connection, folder: string): Promise<string> {
  const pool = await connection.lookupStoragePoolByName(POOL).catch(async (error: unknown) => {
    if (!isLibvirt(error, "NO_STORAGE_POOL")) {
      throw error;
    }
    return definePool(connection, folder);
  });
  if (!(await pool.isActive())) {
    await pool.create();
  }
  return text(find(await parse(await pool.getXml()), "target", "path"));
}

async function definePool(connection: Connection, folder: string) {
  const permissions = element("permissions", {}, element("mode", {}, "0711"));
  const target = element("target", {}, element("path", {}, folder), permissions);
  const pool = await connection.defineStoragePool(
    serialize(element("pool", { type: "dir" }, element("name", {}, POOL), target)),
  );
  await pool.build();
  await pool.setAutostart(true);
  return pool;
}

/** Creates a folder that only its owner and QEMU's group can enter, and only its owner can list. */
export async function makePrivateFolder(
  path: string,
  qemuUser: { readonly gid: number } | null,
): Promise<void> {
  try {
    await makeFolder(path, 0o710);
    if (process.getuid?.() === 0 && qemuUser !== null) {
      await chown(path, 0, qemuUser.gid);
    }
    await chmod(path, 0o710);
  } catch (error) {
    throw fileError(error, path);
  }
}

/** Removes what interrupted copies have left. The caller has locked the pool, so none is in progress. */
async function removePartials(folder: string): Promise<void> {
  const left = (await readdir(folder)).filter((file) =>
    /^[0-9a-f]{64}\.qcow2\.[0-9a-f-]{36}\.partial$/.test(file),
  );
  await Promise.all(left.map((file) => rm(join(folder, file), { force: true })));
}

/** Path of a base image in the pool. */
export function basePath(pool: string, sha256: string): string {
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    throw failure("INTERNAL", { reason: `${sha256} is not a SHA-256 sum` });
  }
  return join(pool, "images", `${sha256}.qcow2`);
}

/**
 * The files that disks in the pool stand on; null if that is unknown: a folder that cannot be listed, or a
 * disk that cannot be read, was just removed or is missing below another, may have stood on any file.
 */
export async function usedBases(pool: string): Promise<ReadonlySet<string> | null> {
  const root = join(pool, "instances");
  const used = new Set<string>();
  try {
    for (const uuid of await listIfThere(root)) {
      for (const base of await basesIn(join(root, uuid), root)) {
        used.add(base);
      }
    }
  } catch {
    return null;
  }
  return used;
}

/** The files that disks in a folder stand on. Throws if one of them is a disk in the pool that is missing. */
async function basesIn(folder: string, root: string): Promise<string[]> {
  const bases: string[] = [];
  for (const file of await listIfThere(folder)) {
    const path = join(folder, file);
    // libvirt's own tools give layers other names.
    const header = file.endsWith(".qcow2") || isQcow2(path) ? await readHeader(path) : null;
    const backing = header?.backing ?? null;
    if (backing?.startsWith(`${root}/`) && !(await exists(backing))) {
      throw new Error(`${backing} is missing`);
    }
    bases.push(...(backing === null ? [] : [backing]));
  }
  return bases;
}

/** The files in a folder; none if it does not exist. */
export async function listIfThere(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    if (isAbsent(error)) {
      return [];
    }
    throw fileError(error, folder);
  });
}

/** Copies an image into the pool, once. The caller has locked the pool. */
export async function importBase(
  pool: string,
  image: ImageSource,
  qemuUser: { readonly gid: number } | null,
): Promise<string> {
  const path = basePath(pool, image.sha256);
  if (await exists(path)) {
    return path;
  }
  await makePrivateFolder(join(pool, "images"), qemuUser);
  await removePartials(dirname(path));
  const partial = `${path}.${newUuid()}.partial`;
  try {
    const { size } = await stat(image.path, { bigint: true });
    await checkSpace(pool, size);
    await copyFile(image.path, partial, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await chmod(partial, 0o600);
    await flush(partial);
    await rename(partial, path);
    await flush(path);
  } catch (error) {
    await rm(partial, { force: true });
    throw fileError(error, image.path);
  }
  return path;
}

/** The image in the CD drive of an instance, in its folder. */
export const CDROM = "cdrom.iso";

/** Copies the image of a CD-ROM into an instance's folder: where it was, it may be moved, or closed to QEMU. */
export async function copyCdrom(source: string, folder: string): Promise<void> {
  const path = join(folder, CDROM);
  try {
    await copyFile(source, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await chmod(path, 0o600);
    await flush(path);
  } catch (error) {
    throw fileError(error, source);
  }
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** True if the file certainly does not exist; false if we may not find out. */
export async function isGone(path: string): Promise<boolean> {
  return stat(path).then(() => false, isAbsent);
}

/** Rejects with NO_SPACE unless `bytes` and a reserve are free in the file system of `folder`. */
export async function checkSpace(folder: string, bytes = 0n): Promise<void> {
  await requireSpace(folder, bytes + RESERVED_BYTES);
}

/** True unless `checkSpace` rejects. */
export async function hasSpace(folder: string, bytes: bigint): Promise<boolean> {
  return checkSpace(folder, bytes).then(
    () => true,
    () => false,
  );
}

/**
 * Rejects with NO_SPACE unless the pool has space for a new instance, for its base image if that is missing,
 * and for its CD-ROM.
 */
export async function checkSpaceFor(pool: string, image: ImageSource, cdrom?: string): Promise<void> {
  const there = await exists(basePath(pool, image.sha256));
  const files = [...(there ? [] : [image.path]), ...(cdrom === undefined ? [] : [cdrom])];
  const sizes = await Promise.all(files.map(async (file) => (await stat(file, { bigint: true })).size));
  await checkSpace(
    pool,
    sizes.reduce((sum, size) => sum + size, 0n),
  );
}
