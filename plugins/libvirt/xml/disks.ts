import { type Element, element, elements, find, prune, put } from "./document.ts";
import { readMetadata } from "./metadata.ts";

/** Target of the disk that strata's layers are of, in the domains that it makes. */
export const DEFAULT_TARGET = "vda";

/** Target of the disk that strata's layers are of; an adopted domain may call it anything. */
export function managedTarget(domain: Element): string {
  return readMetadata(domain)?.target ?? DEFAULT_TARGET;
}

function managedDisk(domain: Element): Element | undefined {
  const target = managedTarget(domain);
  return elements(find(domain, "devices"), "disk").find(
    (disk) => find(disk, "target")?.attributes.dev === target,
  );
}

/** The file that the root disk writes; "" where it has none. */
export function readDisk(domain: Element): string {
  return find(managedDisk(domain), "source")?.attributes.file ?? "";
}

/**
 * Points the root disk to a file. A recorded `<backingStore>` goes: it describes another chain, and
 * libvirt would believe it.
 */
export function setDisk(domain: Element, file: string): void {
  const disk = managedDisk(domain);
  if (disk === undefined) {
    throw new Error(`the domain has no disk ${managedTarget(domain)}`);
  }
  const kept = disk.children.filter((child) => typeof child === "string" || child.name !== "backingStore");
  disk.children.splice(0, disk.children.length, ...kept);
  put(disk, element("source", { file }));
}

/** The files that a definition says the root disk stands on, by itself and against the headers. */
export interface ExplicitChain {
  /** From the first below the disk down. */
  readonly files: readonly string[];
  /** True where it says that the last stands on nothing; else the last's header goes on. */
  readonly ends: boolean;
}

/** The chain that libvirt writes into a definition when a snapshot is taken of a running guest; undefined for none. */
export function readExplicitChain(domain: Element): ExplicitChain | undefined {
  let at = find(managedDisk(domain), "backingStore");
  if (at === undefined) {
    return undefined;
  }
  const files: string[] = [];
  for (; at !== undefined; at = find(at, "backingStore")) {
    if (at.children.length === 0) {
      return { files, ends: true };
    }
    files.push(find(at, "source")?.attributes.file ?? "");
  }
  return { files, ends: false };
}

/** The files that disks other than the root disk name. */
export function readOtherDisks(domain: Element): string[] {
  const root = managedDisk(domain);
  return elements(find(domain, "devices"), "disk").flatMap((disk) =>
    disk === root ? [] : (find(disk, "source")?.attributes.file ?? []),
  );
}

/** The files that all disks name, the root disk's first. */
export function readDisks(domain: Element): string[] {
  return [readDisk(domain), ...readOtherDisks(domain)];
}

/** Puts the seed back in the place of the overlay that libvirt's own restore has given it. */
export function putSeed(domain: Element, overlay: string, seed: string): void {
  const disk = elements(find(domain, "devices"), "disk").find(
    (each) => find(each, "source")?.attributes.file === overlay,
  );
  if (disk === undefined) {
    return;
  }
  prune(disk, ({ name }) => name === "backingStore");
  put(disk, element("driver", { name: "qemu", type: "raw" }));
  put(disk, element("source", { file: seed }));
}

/** Targets of all disks. */
export function diskTargets(domain: Element): string[] {
  return elements(find(domain, "devices"), "disk").flatMap((disk) => {
    const target = find(disk, "target")?.attributes.dev;
    return target === undefined ? [] : [target];
  });
}
