import { dirname } from "node:path";
import { type Element, element, elements, find, prune, put } from "./document.ts";
import { readMetadata } from "./metadata.ts";
import {
  type DiskMetadata as AllDiskMetadata,
  formatOfDisk,
  ownFileAt,
  pathOf,
  sourceOf,
} from "./own-files.ts";

/** Target of the system disk in domains that strata creates. */
export const DEFAULT_TARGET = "vda";

/** Target of the system disk. In an adopted domain it may be any. */
export function managedTarget(domain: Element): string {
  return readMetadata(domain)?.target ?? DEFAULT_TARGET;
}

/** The elements of all disks and drives. */
export function disksOf(domain: Element): Element[] {
  return elements(find(domain, "devices"), "disk");
}

export function targetOf(disk: Element): string {
  return find(disk, "target")?.attributes.dev ?? "";
}

/** The file or device of a disk; "" for none, and for a volume that the metadata do not know. */
function fileOf(disk: Element | undefined, domain: Element): string {
  return pathOf(find(disk, "source"), () => readMetadata(domain));
}

export function findDisk(domain: Element, target: string): Element | undefined {
  return disksOf(domain).find((disk) => targetOf(disk) === target);
}

/** A disk that a guest may write. */
export interface WrittenDisk {
  /** As "vdb". */
  readonly target: string;
  /** The file or device that it writes: its active layer; "" if it is neither. */
  readonly file: string;
  /** Why snapshots leave it out: the user asked strata, or its definition says so. Absent where they cover it. */
  readonly left?: "excluded" | "snapshot-no" | "shareable";
}

/**
 * The disks that a guest may write, the system disk first and the others in document order. The system disk is
 * always there, with the file "" where the definition lacks it.
 */
export function writtenDisks(
  domain: Element,
  metadata: DiskMetadata | undefined = readMetadata(domain),
): WrittenDisk[] {
  const system = metadata?.target ?? DEFAULT_TARGET;
  const further = disksOf(domain)
    .filter((disk) => targetOf(disk) !== system && isWritten(disk))
    .map((disk) => ({ target: targetOf(disk), file: fileOf(disk, domain), ...whyLeft(disk, metadata) }));
  return [{ target: system, file: fileOf(findDisk(domain, system), domain) }, ...further];
}

/** False for a CD-ROM, a disk that is read-only, as the seed is, and an empty drive. */
export function isWritten(disk: Element): boolean {
  const { device = "disk" } = disk.attributes;
  return device !== "cdrom" && find(disk, "readonly") === undefined && find(disk, "source") !== undefined;
}

/** Why snapshots leave a disk out, if they do. */
export function whyLeft(
  disk: Element,
  metadata: Pick<DiskMetadata, "excluded"> | undefined,
): Pick<WrittenDisk, "left"> {
  if (metadata?.excluded?.includes(targetOf(disk)) === true) {
    return { left: "excluded" };
  }
  if (find(disk, "shareable") !== undefined) {
    return { left: "shareable" };
  }
  return disk.attributes.snapshot === "no" ? { left: "snapshot-no" } : {};
}

/** A disk that snapshots cover. */
export type CoveredDisk = Omit<WrittenDisk, "left">;

type DiskMetadata = Pick<AllDiskMetadata, "target" | "excluded">;

/** The disks that a snapshot covers: all that the guest writes, without those that are left out. */
export function coveredDisks(
  domain: Element,
  metadata: DiskMetadata | undefined = readMetadata(domain),
): CoveredDisk[] {
  return writtenDisks(domain, metadata).filter(({ left }) => left === undefined);
}

/** The active layers: the files of all disks that the guest writes, that of the system disk first. */
export function activeLayers(domain: Element): string[] {
  return writtenDisks(domain).flatMap(({ file }) => (file === "" ? [] : [file]));
}

/**
 * The active layers that are strata's to look after: that of the system disk, and those of the others in the
 * instance's folder. What else a guest writes may be of any format.
 */
export function ownLayers(domain: Element, folder: string): string[] {
  const system = readDisk(domain);
  return activeLayers(domain).filter((path) => path === system || dirname(path) === folder);
}

/** The active layer of the system disk; "" if there is none. */
export function readDisk(domain: Element): string {
  return readDiskAt(domain, managedTarget(domain));
}

/** The file of a disk; "" if there is none. */
export function readDiskAt(domain: Element, target: string): string {
  return fileOf(findDisk(domain, target), domain);
}

/** Sets the file of the system disk, as `setDiskAt` does. */
export function setDisk(domain: Element, file: string): void {
  setDiskAt(domain, managedTarget(domain), file);
}

/**
 * Sets the file of a disk: one that the domain brought along as it named that, any other as a qcow2 file. A recorded
 * `<backingStore>` is removed: it describes another chain, and libvirt would trust it.
 */
export function setDiskAt(domain: Element, target: string, file: string): void {
  const disk = findDisk(domain, target);
  if (disk === undefined) {
    throw new Error(`the domain has no disk ${target}`);
  }
  const kept = disk.children.filter((child) => typeof child === "string" || child.name !== "backingStore");
  disk.children.splice(0, disk.children.length, ...kept);
  const own = ownFileAt(domain, target, file);
  const { type, source } = sourceOf(file, own);
  disk.attributes.type = type;
  put(disk, element("source", source));
  const format = own?.format ?? "qcow2";
  if (formatOfDisk(disk) !== format) {
    const driver = find(disk, "driver")?.attributes ?? { name: "qemu" };
    put(disk, element("driver", { ...driver, type: format }));
  }
}

/** Removes the chains of `readExplicitChains` from a definition: the headers tell them. */
export function dropChains(domain: Element): void {
  for (const { target, top } of readExplicitChains(domain)) {
    setDiskAt(domain, target, top);
  }
}

/** Sets the files of disks, by their targets, as `setDiskAt` does. */
export function setDisks(domain: Element, files: ReadonlyMap<string, string>): void {
  for (const [target, file] of files) {
    setDiskAt(domain, target, file);
  }
}

/** The backing files of a disk that a definition lists, in addition to the headers. */
export interface ExplicitChain {
  readonly target: string;
  /** The file of the disk. */
  readonly top: string;
  /** From the first below the disk downwards. */
  readonly files: readonly string[];
  /**
   * True if it says that the last one stands on nothing; otherwise the last one's header continues the chain.
   */
  readonly ends: boolean;
}

/**
 * The chains of the disks that a guest writes, as libvirt writes them into a definition when a snapshot of a
 * running guest is taken; none for a disk without one.
 */
export function readExplicitChains(domain: Element): ExplicitChain[] {
  return writtenDisks(domain).flatMap(({ target, file }) => {
    const chain = readChain(find(findDisk(domain, target), "backingStore"));
    return chain === undefined ? [] : [{ target, top: file, ...chain }];
  });
}

function readChain(below: Element | undefined): Pick<ExplicitChain, "files" | "ends"> | undefined {
  if (below === undefined) {
    return undefined;
  }
  const files: string[] = [];
  for (let at: Element | undefined = below; at !== undefined; at = find(at, "backingStore")) {
    if (at.children.length === 0) {
      return { files, ends: true };
    }
    files.push(pathOf(find(at, "source"), () => undefined));
  }
  return { files, ends: false };
}

/** The files of all disks but the system disk. */
export function readOtherDisks(domain: Element): string[] {
  const system = findDisk(domain, managedTarget(domain));
  return disksOf(domain).flatMap((disk) => {
    const file = disk === system ? "" : fileOf(disk, domain);
    return file === "" ? [] : [file];
  });
}

/** The files of all disks, that of the system disk first. */
export function readDisks(domain: Element): string[] {
  return [readDisk(domain), ...readOtherDisks(domain)];
}

/** Replaces the overlay that libvirt's own restore created with the seed. */
export function putSeed(domain: Element, overlay: string, seed: string): void {
  const disk = disksOf(domain).find((each) => fileOf(each, domain) === overlay);
  if (disk === undefined) {
    return;
  }
  prune(disk, ({ name }) => name === "backingStore");
  put(disk, element("driver", { name: "qemu", type: "raw" }));
  put(disk, element("source", { file: seed }));
}

/** Adds a disk of a qcow2 file, on the bus of the system disk, after the others. */
export function addDisk(domain: Element, target: string, file: string): void {
  const { bus = "virtio" } = find(findDisk(domain, managedTarget(domain)), "target")?.attributes ?? {};
  find(domain, "devices")?.children.push(diskElement(file, target, bus));
}

/** A disk of a qcow2 file as strata makes it. */
export function diskElement(file: string, target: string, bus: string): Element {
  return element(
    "disk",
    { type: "file", device: "disk" },
    element("driver", { name: "qemu", type: "qcow2", discard: "unmap" }),
    element("source", { file }),
    element("target", { dev: target, bus }),
  );
}

/** Takes a disk out of a definition. */
export function removeDisk(domain: Element, target: string): void {
  const devices = find(domain, "devices");
  const disk = findDisk(domain, target);
  if (devices !== undefined && disk !== undefined) {
    prune(devices, (child) => child === disk);
  }
}

/** The first target that neither a disk of the domain nor another one has, named as the system disk is. */
export function freeTarget(domain: Element, others: Iterable<string> = []): string {
  const prefix = /^[a-z]+(?=[a-z]$)/.exec(managedTarget(domain))?.[0] ?? DEFAULT_TARGET.slice(0, 2);
  const taken = new Set([...diskTargets(domain), ...others]);
  for (let number = 0; ; number += 1) {
    const target = `${prefix}${lettersOf(number)}`;
    if (!taken.has(target)) {
      return target;
    }
  }
}

/** a, b, … z, aa, ab, … */
function lettersOf(number: number): string {
  const last = String.fromCharCode(97 + (number % 26));
  return number < 26 ? last : `${lettersOf(Math.floor(number / 26) - 1)}${last}`;
}

/** Has snapshots cover a disk again that its definition leaves out. True if that has changed it. */
export function coverDisk(domain: Element, target: string): boolean {
  const disk = findDisk(domain, target);
  if (disk?.attributes.snapshot !== "no") {
    return false;
  }
  delete disk.attributes.snapshot;
  return true;
}

/** Targets of all disks. */
export function diskTargets(domain: Element): string[] {
  return disksOf(domain)
    .map(targetOf)
    .filter((target) => target !== "");
}
