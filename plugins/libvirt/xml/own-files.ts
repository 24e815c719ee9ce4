import { dirname } from "node:path";
import type { Format } from "../qcow2/header.ts";
import { type Element, elements, find } from "./document.ts";
import { type Metadata, type OwnFile, readMetadata } from "./metadata.ts";

/** What the metadata say of disks. */
export type DiskMetadata = Pick<Metadata, "target" | "excluded" | "own" | "adopted" | "folder">;

/** The file or device that a source names; of a volume, what the metadata say. "" for none. */
export function pathOf(
  source: Element | undefined,
  metadata: () => Pick<Metadata, "own"> | undefined,
): string {
  const { file, dev, pool, volume } = source?.attributes ?? {};
  if (pool === undefined || volume === undefined) {
    return file ?? dev ?? "";
  }
  return metadata()?.own?.find((own) => own.pool === pool && own.volume === volume)?.file ?? "";
}

/** The attributes of a `<disk>` and its `<source>` for a file: as the domain named its own one, or as a file. */
export function sourceOf(
  file: string,
  own?: OwnFile,
): { readonly type: string; readonly source: Readonly<Record<string, string>> } {
  const { type = "file", pool = "", volume = "" } = own ?? {};
  switch (type) {
    case "file":
      return { type, source: { file } };
    case "block":
      return { type, source: { dev: file } };
    case "volume":
      return { type, source: { pool, volume } };
  }
}

/** What the metadata say of the file that a disk was brought along with. */
export function ownFileAt(domain: Element, target: string, file: string): OwnFile | undefined {
  return readMetadata(domain)?.own?.find((own) => own.file === file && own.target === target);
}

/** The format that a definition gives a disk: raw where it gives none, as libvirt has it. */
export function formatOfDisk(disk: Element): string {
  return find(disk, "driver")?.attributes.type ?? "raw";
}

/**
 * The files below strata's layers and those of any other format than qcow2, with their formats: what the metadata
 * say, and for the disks of the definition what that says. A format that strata does not know counts as raw, so
 * nothing is read from it.
 */
export function ownFormats(domain: Element, metadata: DiskMetadata | undefined): ReadonlyMap<string, Format> {
  const formats = new Map<string, Format>();
  if (metadata?.adopted !== undefined) {
    formats.set(metadata.adopted, "qcow2");
  }
  for (const { file, format } of metadata?.own ?? []) {
    formats.set(file, format);
  }
  // Whatever a guest writes as raw is never read as anything else, whoever has changed the definition.
  for (const disk of elements(find(domain, "devices"), "disk")) {
    const file = pathOf(find(disk, "source"), () => metadata);
    if (file !== "" && dirname(file) !== metadata?.folder && formatOfDisk(disk) !== "qcow2") {
      formats.set(file, "raw");
    }
  }
  return formats;
}

/** Those of two places: raw where either says so. */
export function mergedFormats(
  some: ReadonlyMap<string, Format>,
  others: ReadonlyMap<string, Format>,
): ReadonlyMap<string, Format> {
  const raw = [...some, ...others].filter(([, format]) => format === "raw");
  return new Map([...some, ...others, ...raw]);
}
