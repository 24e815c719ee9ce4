import { failure } from "../../../lib/errors.ts";
import { quote } from "../../../lib/util/quote.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import { ENGINE } from "../errors.ts";
import { type CoveredDisk, coveredDisks, findDisk, managedTarget } from "../xml/disks.ts";
import { type Element, elements, find } from "../xml/document.ts";
import { type OwnFile, putMetadata } from "../xml/metadata.ts";
import { formatOfDisk } from "../xml/own-files.ts";
import { type InspectedFile, inspectFile } from "./own-chain.ts";

/** A disk that strata did not make, as far as snapshots are concerned. */
export interface InspectedDisk extends InspectedFile {
  /** What the metadata must keep of it; absent for a plain qcow2 file, of which the definition says all. */
  readonly own?: OwnFile;
}

/** What keeps snapshots from covering a disk, by its definition and by its file; a remedy with each. */
export async function inspectDisk(engine: LibvirtEngine, disk: Element): Promise<InspectedDisk> {
  const obstacles = kindObstacles(disk);
  if (obstacles.length > 0) {
    return { file: "", obstacles };
  }
  const format = formatOfDisk(disk) === "qcow2" ? "qcow2" : "raw";
  const inspected = await inspectFile(engine, disk, format);
  const { type, attributes } = inspected;
  const plain = type === "file" && format === "qcow2" && inspected.backing !== true;
  if (plain || type === undefined) {
    return inspected;
  }
  const target = find(disk, "target")?.attributes.dev ?? "";
  const { pool, volume } = attributes ?? {};
  const named = pool === undefined || volume === undefined ? {} : { pool, volume };
  return { ...inspected, own: { target, file: inspected.file, format, type, ...named } };
}

/**
 * The instance with what its metadata must keep of the disks that other hands have attached, so that a snapshot can
 * cover them. Rejects for one that a snapshot cannot cover: left out without a word, it would not come back with a
 * restore.
 */
export async function withAttached(engine: LibvirtEngine, managed: Managed): Promise<Managed> {
  const { document, metadata } = managed;
  const [, ...further] = coveredDisks(document, metadata);
  const found: OwnFile[] = [];
  for (const { target, file } of further) {
    const disk = findDisk(document, target);
    const known = file.startsWith(`${metadata.folder}/`) || isKnown(metadata.own ?? [], target, file);
    if (disk === undefined || known) {
      continue;
    }
    const { obstacles, own } = await inspectDisk(engine, disk);
    if (obstacles.length > 0) {
      throw notCoverable(managed, target, obstacles, "a snapshot");
    }
    found.push(...(own === undefined ? [] : [own]));
  }
  if (found.length === 0) {
    return managed;
  }
  const targets = found.map(({ target }) => target);
  const kept = (metadata.own ?? []).filter(({ target }) => !targets.includes(target));
  const extended = { ...metadata, own: [...kept, ...found] };
  putMetadata(document, extended);
  return { ...managed, metadata: extended };
}

function isKnown(own: readonly OwnFile[], target: string, file: string): boolean {
  return file !== "" && own.some((each) => each.target === target && each.file === file);
}

/** Rejects if a further disk is of a kind that strata cannot put layers on. */
export function requireCoverable(
  managed: Pick<Managed, "name" | "document">,
  disks: readonly CoveredDisk[],
  what = "a snapshot",
): void {
  const system = managedTarget(managed.document);
  for (const { target } of disks.filter((disk) => disk.target !== system)) {
    const disk = findDisk(managed.document, target);
    const obstacles = disk === undefined ? [] : kindObstacles(disk);
    if (obstacles.length > 0) {
      throw notCoverable(managed, target, obstacles, what);
    }
  }
}

function notCoverable(
  { name }: Pick<Managed, "name">,
  target: string,
  obstacles: readonly string[],
  what: string,
) {
  return failure("UNSUPPORTED", {
    what: `${what} of disk ${target} of "${name}"`,
    engine: ENGINE,
    reason: `it ${obstacles.join(", and ")}; \`strata disk exclude ${quote(name)} ${quote(target)}\` leaves it out of snapshots`,
  });
}

/** What a definition says that keeps strata from putting layers on a disk. */
export function kindObstacles(disk: Element): string[] {
  const type = typeObstacle(disk);
  const obstacles = [deviceObstacle(disk), type, formatObstacle(disk)];
  for (const name of ["transient", "encryption"]) {
    const has = find(disk, name) !== undefined || find(disk, "source", name) !== undefined;
    obstacles.push(has ? WITH[name] : undefined);
  }
  const others = elements(find(disk, "source")).filter(({ name }) => name !== "encryption");
  obstacles.push(
    others.length === 0 || type !== undefined
      ? undefined
      : `has <${others.map(({ name }) => name).join(">, <")}> in its <source>, which a layer would not have: remove it with virsh edit`,
  );
  return obstacles.filter((each) => each !== undefined);
}

const WITH: Readonly<Record<string, string>> = {
  transient:
    "is transient, so what the guest writes is dropped when it stops: remove <transient/> with virsh edit",
  encryption: "is encrypted, and strata does not have the key: encrypt inside the guest instead",
};

function deviceObstacle({ attributes: { device = "disk" } }: Element): string | undefined {
  switch (device) {
    case "disk":
      return undefined;
    case "floppy":
      return "is a floppy that the guest may write: take it out, or put <readonly/> beside it, with virsh edit";
    case "lun":
      return "is a LUN that is passed through to the guest: make it device='disk' with virsh edit";
    default:
      return `is a ${device}`;
  }
}

function typeObstacle(disk: Element): string | undefined {
  const { type = "" } = disk.attributes;
  const source = find(disk, "source")?.attributes ?? {};
  switch (type) {
    case "file":
    case "block":
    case "volume":
      return undefined;
    case "network":
      return `is on the network (${source.protocol ?? "unknown"}): copy it to a file or block device of this host with qemu-img convert`;
    case "nvme":
      return "is an NVMe device that QEMU drives itself: attach its block device /dev/nvme… instead";
    case "vhostuser":
      return "belongs to a vhost-user process, which alone can read it: attach a file or block device instead";
    default:
      return `must be a file, a block device or a volume, and has the type ${type}`;
  }
}

function formatObstacle(disk: Element): string | undefined {
  const format = formatOfDisk(disk);
  if (format === "qcow2" || format === "raw") {
    return undefined;
  }
  const { file = "FILE" } = find(disk, "source")?.attributes ?? {};
  // Without its format QEMU believes the first bytes, which the guest wrote.
  return `must be qcow2 or raw, and is ${format}: \`qemu-img convert -f ${format} -O qcow2 ${quote(file)} NEW\`, then virsh edit`;
}
