import { realpath } from "node:fs/promises";
import { join, resolve } from "node:path";
import { reasonOf } from "../../../lib/errors.ts";
import { quote } from "../../../lib/util/quote.ts";
import type { LibvirtEngine } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { type Format, type Qcow2Header, readBackingFiles } from "../qcow2/header.ts";
import { readImage } from "../qcow2/image.ts";
import type { Connection } from "../rpc/index.ts";
import { type Element, find } from "../xml/document.ts";
import type { OwnFile } from "../xml/metadata.ts";

/** Files that a disk may stand on; QEMU opens all of them, and strata's layers besides. */
const MAX_BELOW = 32;
/** Types of volumes. */
const [FILE, BLOCK] = [0, 1];

/** The file of a disk that strata did not make. */
export interface InspectedFile {
  /** Absolute path; "" if there is none. */
  readonly file: string;
  /** Why snapshots cannot cover it, each with a remedy. */
  readonly obstacles: readonly string[];
  readonly type?: OwnFile["type"];
  /** Those of its `<source>`. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** True if it stands on files of its owner's. */
  readonly backing?: boolean;
}

/** Looks at the file of a disk and at those that it stands on, all of which must be readable. */
export async function inspectFile(
  { connection, pool: poolOf }: Pick<LibvirtEngine, "connection" | "pool">,
  disk: Element,
  format: Format,
): Promise<InspectedFile> {
  const attributes = find(disk, "source")?.attributes ?? {};
  const found = await locate(connection, disk.attributes.type ?? "", attributes);
  if (found.obstacle !== undefined) {
    return { file: "", obstacles: [found.obstacle] };
  }
  const { file, type } = found;
  try {
    const place = await placeObstacle(file, await poolOf());
    const header = await readImage(file, format);
    const chain = await chainObstacles(file, header);
    const obstacles = [place, ...contentObstacles(file, header), ...chain];
    return {
      file,
      type,
      attributes,
      backing: header.backing !== null,
      obstacles: obstacles.filter((each) => each !== undefined),
    };
  } catch (error) {
    return { file, obstacles: [`cannot be read: ${reasonOf(error)}`] };
  }
}

type Located =
  | { readonly file: string; readonly type: OwnFile["type"]; readonly obstacle?: undefined }
  | { readonly obstacle: string };

async function locate(
  connection: Connection,
  type: string,
  { file, dev, pool, volume }: Readonly<Record<string, string>>,
): Promise<Located> {
  if (type === "volume") {
    return locateVolume(connection, pool ?? "", volume ?? "");
  }
  const path = type === "block" ? dev : file;
  return path === undefined
    ? { obstacle: "has no file" }
    : { file: path, type: type === "block" ? "block" : "file" };
}

async function locateVolume(connection: Connection, pool: string, volume: string): Promise<Located> {
  try {
    const found = await (await connection.lookupStoragePoolByName(pool)).lookupVolumeByName(volume);
    const { type } = await found.getInfo();
    return type === FILE || type === BLOCK
      ? { file: await found.getPath(), type: "volume" }
      : { obstacle: `is the volume ${volume} of pool ${pool}, which is neither a file nor a block device` };
  } catch (error) {
    if (isLibvirt(error, "OPERATION_INVALID")) {
      return { obstacle: `is in the pool ${pool}, which is not active: \`virsh pool-start ${quote(pool)}\`` };
    }
    if (isLibvirt(error, "NO_STORAGE_POOL", "NO_STORAGE_VOL")) {
      return {
        obstacle: `is the volume ${volume} of pool ${pool}, which libvirt does not know: \`virsh pool-refresh ${quote(pool)}\``,
      };
    }
    throw error;
  }
}

async function placeObstacle(file: string, pool: string): Promise<string | undefined> {
  const [real, ours] = await Promise.all([realpath(file), realpath(pool)]);
  if (real.startsWith(join(ours, "/"))) {
    return "is in strata's own pool";
  }
  // The first layer's header will name the disk, and must do so with the same path as the definition.
  return resolve(file) === file
    ? undefined
    : `must be named by its plain path, ${real}, and not ${file}: change it with virsh edit`;
}

function contentObstacles(file: string, { encrypted, externalData, inside }: Qcow2Header): string[] {
  return [
    ...(encrypted
      ? ["is encrypted, and strata does not have the key: encrypt inside the guest instead"]
      : []),
    ...(externalData
      ? [
          `keeps its data in another file, which strata does not track: \`qemu-img convert -f qcow2 -O qcow2 ${quote(file)} NEW\`, then virsh edit`,
        ]
      : []),
    ...(inside > 0
      ? [
          `contains ${inside} of QEMU's own snapshots: delete them with \`virsh snapshot-delete\` or \`qemu-img snapshot -d NAME ${quote(file)}\``,
        ]
      : []),
  ];
}

/** What is wrong with the files that a disk stands on. They are its owner's: read, and never written. */
async function chainObstacles(file: string, header: Qcow2Header): Promise<string[]> {
  const seen = new Set([file]);
  let [at, { backing, backingFormat, encrypted }] = [file, header];
  while (backing !== null) {
    const stands = `stands on ${backing}`;
    if (backingFormat === null) {
      // QEMU would believe the first bytes of that file, which a guest may have written.
      return [
        `${stands}, and does not say in which format: \`qemu-img rebase -u -f qcow2 -b ${quote(backing)} -F FORMAT ${quote(at)}\``,
      ];
    }
    if ((await readBackingFiles(at)).files.length === 0) {
      return [`${stands}, which is not a file of this host: \`qemu-img rebase -f qcow2 -b "" ${quote(at)}\``];
    }
    if (seen.has(backing) || seen.size > MAX_BELOW) {
      return [`stands on more than ${MAX_BELOW} files: \`qemu-img rebase -f qcow2 -b "" ${quote(file)}\``];
    }
    seen.add(backing);
    try {
      const next = await readImage(backing, backingFormat === "qcow2" ? "qcow2" : "raw");
      [at, { backing, backingFormat, encrypted }] = [backing, next];
    } catch (error) {
      return [`${stands}, which cannot be read: ${reasonOf(error)}`];
    }
    if (encrypted) {
      return [`${stands}, which is encrypted, and strata does not have the key`];
    }
  }
  return [];
}
