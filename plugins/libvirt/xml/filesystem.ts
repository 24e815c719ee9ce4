import { createHash } from "node:crypto";
import { type Element, element, elements, find, prune, put } from "./document.ts";

/** A folder of the host that a domain has as a device. */
export interface Filesystem {
  readonly driver: "virtiofs" | "9p";
  /** Absolute path on the host. */
  readonly source: string;
  /** The tag by which the guest mounts it. */
  readonly tag: string;
  /** The program that libvirt starts instead of virtiofsd, absolute path. */
  readonly launcher?: string;
}

const TAG = /^strata-[0-9a-f]{16}$/;

/**
 * The tag of a mount, derived from its target in the guest, because virtiofs allows 36 bytes and a path may
 * be longer.
 */
export function mountTag(target: string): string {
  return `strata-${createHash("sha256").update(target).digest("hex").slice(0, 16)}`;
}

/** The device. With 9p, files that the guest creates belong to QEMU's user. */
export function filesystemElement({ driver, source, tag, launcher }: Filesystem): Element {
  return element(
    "filesystem",
    { type: "mount", accessmode: driver === "9p" ? "squash" : "passthrough" },
    element("driver", { type: driver === "9p" ? "path" : "virtiofs" }),
    launcher === undefined ? undefined : element("binary", { path: launcher }),
    element("source", { dir: source }),
    element("target", { dir: tag }),
  );
}

function read(device: Element): Filesystem {
  const launcher = find(device, "binary")?.attributes.path;
  return {
    driver: find(device, "driver")?.attributes.type === "virtiofs" ? "virtiofs" : "9p",
    source: find(device, "source")?.attributes.dir ?? "",
    tag: find(device, "target")?.attributes.dir ?? "",
    ...(launcher === undefined ? {} : { launcher }),
  };
}

function isOurs(device: Element): boolean {
  return device.name === "filesystem" && TAG.test(find(device, "target")?.attributes.dir ?? "");
}

function isSame(a: Filesystem, b: Filesystem): boolean {
  return a.driver === b.driver && a.source === b.source && a.tag === b.tag && a.launcher === b.launcher;
}

/** The filesystem devices of a domain that are strata's mounts. */
export function readFilesystems(domain: Element): Filesystem[] {
  return elements(find(domain, "devices")).filter(isOurs).map(read);
}

/** The device with that tag as the document has it, for unplugging it. */
export function findFilesystem(domain: Element, tag: string): Element | undefined {
  return elements(find(domain, "devices")).find((device) => isOurs(device) && read(device).tag === tag);
}

/**
 * Sets a domain's mounts, and leaves other filesystem devices alone. One that already exists keeps its place
 * on the bus. True if the document has changed.
 */
export function setFilesystems(domain: Element, wanted: readonly Filesystem[]): boolean {
  const devices = find(domain, "devices");
  if (devices === undefined) {
    throw new Error("the domain has no devices");
  }
  const present = readFilesystems(domain);
  const kept = present.filter((each) => wanted.some((other) => isSame(each, other)));
  const added = wanted.filter((each) => !present.some((other) => isSame(each, other)));
  prune(devices, (device) => isOurs(device) && !kept.some((each) => isSame(each, read(device))));
  devices.children.push(...added.map(filesystemElement));
  const shares = wanted.some(({ driver }) => driver === "virtiofs") && !hasSharedMemory(domain);
  if (shares) {
    shareMemory(domain);
  }
  return shares || added.length > 0 || kept.length < present.length;
}

/** True if virtiofsd can access the guest's memory. */
export function hasSharedMemory(domain: Element): boolean {
  return find(domain, "memoryBacking", "access")?.attributes.mode === "shared";
}

/** Lets virtiofsd access the guest's memory; other settings of that memory stay. */
export function shareMemory(domain: Element): void {
  const backing = find(domain, "memoryBacking") ?? element("memoryBacking");
  if (find(backing, "source") === undefined) {
    put(backing, element("source", { type: "memfd" }));
  }
  put(backing, element("access", { mode: "shared" }));
  put(domain, backing);
}
