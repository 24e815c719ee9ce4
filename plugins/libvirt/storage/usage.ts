import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { InstanceStorage, StorageUsage } from "../../../lib/engine/contract.ts";
import { isStrataError } from "../../../lib/errors.ts";
import { fewAtOnce } from "../../../lib/util/few-at-once.ts";
import { type LibvirtEngine, type Managed, readManaged } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { layerSize } from "../layers/layers.ts";
import { isFlattenedPath, isLayerPath, isPartialPath } from "../layers/names.ts";
import { MEMORY_NAME } from "../memory/files.ts";
import { isQcow2 } from "../qcow2/header.ts";
import { readDisks } from "../xml/disks.ts";
import { readDocument } from "../xml/reader.ts";
import { qemuFolder } from "./qemu-folder.ts";

/** What the files of the pool take, and the memory that libvirt has saved. */
export async function storage(engine: LibvirtEngine): Promise<StorageUsage> {
  const pool = await engine.pool();
  const domains = await engine.connection.listDomains();
  const instances = await fewAtOnce(domains, async (domain) => {
    const managed = await readManaged(domain, readDocument).catch((error: unknown) => {
      // It was removed meanwhile, or is not to be understood, which doctor reports.
      if (isLibvirt(error, "NO_DOMAIN") || isStrataError(error)) {
        return undefined;
      }
      throw error;
    });
    return managed === undefined ? undefined : storageOf(engine, managed);
  });
  return {
    images: await imagesIn(join(pool, "images")),
    instances: instances.filter((each) => each !== undefined),
    folders: [pool],
  };
}

async function imagesIn(folder: string): Promise<StorageUsage["images"]> {
  const files = await readdir(folder).catch(() => []);
  const images = files.map(async (file) => {
    const [, sha256] = /^([0-9a-f]{64})\.qcow2$/.exec(file) ?? [];
    const size = sha256 === undefined ? null : await layerSize(join(folder, file));
    return sha256 === undefined || size === null ? [] : [{ sha256, size }];
  });
  return (await Promise.all(images)).flat();
}

/** Undefined if its folder is not there or may not be read. */
async function storageOf(
  engine: LibvirtEngine,
  { domain, document, metadata }: Managed,
): Promise<InstanceStorage | undefined> {
  const { folder } = metadata;
  const disks = new Set(readDisks(document));
  const sums = { active: 0n, snapshots: 0n, flattened: 0n, memory: 0n, other: 0n };
  const files = await readdir(folder, { recursive: true }).catch(() => undefined);
  if (files === undefined) {
    return undefined;
  }
  await Promise.all(
    files.map(async (file) => {
      const path = join(folder, file);
      const size = await layerSize(path);
      if (size !== null) {
        sums[kindOf(folder, path, disks)] += size;
      }
    }),
  );
  return {
    id: domain.uuid,
    ...sums,
    memory: sums.memory + ((await layerSize(join(qemuFolder(engine), "save", `${domain.name}.save`))) ?? 0n),
  };
}

/** The seed and a CD-ROM are disks too, but what they hold is written once. */
function kindOf(
  folder: string,
  path: string,
  disks: ReadonlySet<string>,
): Exclude<keyof InstanceStorage, "id"> {
  if (MEMORY_NAME.test(basename(path))) {
    return "memory";
  }
  if (isFlattenedPath(folder, path) || isPartialPath(folder, path)) {
    return "flattened";
  }
  if (disks.has(path)) {
    return path.endsWith(".iso") ? "other" : "active";
  }
  // libvirt's own tools give layers other names than strata, and none of their own to its other files.
  return isLayerPath(folder, path) || isDisk(path) ? "snapshots" : "other";
}

function isDisk(path: string): boolean {
  try {
    return isQcow2(path);
  } catch {
    // It was removed meanwhile.
    return false;
  }
}
