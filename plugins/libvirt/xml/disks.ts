import { type Element, element, elements, find, prune, put } from "./document.ts";
import { readMetadata } from "./metadata.ts";

/** Target of the managed disk, the one with strata's layers, in domains that strata creates. */
export const DEFAULT_TARGET = "vda";

/** Target of the managed disk. In an adopted domain it may be any. */
export function managedTarget(domain: Element): string {
  return readMetadata(domain)?.target ?? DEFAULT_TARGET;
}

function managedDisk(domain: Element): Element | undefined {
  const target = managedTarget(domain);
  return elements(find(domain, "devices"), "disk").find(
    (disk) => find(disk, "target")?.attributes.dev === target,
  );
}

/** The active layer: the file that the managed disk writes; "" if there is none. */
export function readDisk(domain: Element): string {
  return find(managedDisk(domain), "source")?.attributes.file ?? "";
}

/**
 * Sets the file of the managed disk. A recorded `<backingStore>` is removed: it describes another chain, and
 * libvirt would trust it.
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

/** The backing files of the managed disk that a definition lists, in addition to the headers. */
export interface ExplicitChain {
  /** From the first below the disk downwards. */
  readonly files: readonly string[];
  /**
   * True if it says that the last one stands on nothing; otherwise the last one's header continues the chain.
   */
  readonly ends: boolean;
}

/**
 * The chain that libvirt writes into a definition when a snapshot of a running guest is taken; undefined if
 * there is none.
 */
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

/** The files of all disks but the managed one. */
export function readOtherDisks(domain: Element): string[] {
  const root = managedDisk(domain);
  return elements(find(domain, "devices"), "disk").flatMap((disk) =>
    disk === root ? [] : (find(disk, "source")?.attributes.file ?? []),
  );
}

/** The files of all disks, the active layer first. */
export function readDisks(domain: Element): string[] {
  return [readDisk(domain), ...readOtherDisks(domain)];
}

/** Replaces the overlay that libvirt's own restore created with the seed. */
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
