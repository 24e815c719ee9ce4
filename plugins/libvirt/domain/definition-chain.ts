import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { failure } from "../../../lib/errors.ts";
import { define, getLocked, type LibvirtEngine, type Managed } from "../engine.ts";
import { layerOf } from "../layers/names.ts";
import { type Format, isEmptyImage, readHeader } from "../qcow2/header.ts";
import { readImageSync } from "../qcow2/image.ts";
import { removeIfThere } from "../storage/durable-file.ts";
import { readFileUsers } from "../storage/file-users.ts";
import { dropChains, type ExplicitChain, putSeed, readExplicitChains, readOtherDisks } from "../xml/disks.ts";
import type { Element } from "../xml/document.ts";
import { ownFormats } from "../xml/own-files.ts";

/**
 * Removes from a definition what libvirt's own tools have added and would do harm:
 *
 * - The backing chain that repeats the layers' headers. libvirt writes it when a snapshot of a running guest
 *   is taken, and from then on trusts it and no header: a merged layer would keep the domain from starting,
 *   and a read image would never be opened. If the two contradict each other, nothing is changed.
 * - The overlay on the seed, which every restore by libvirt's own tools creates.
 */
export async function ownDefinition(engine: LibvirtEngine, managed: Managed): Promise<Managed> {
  const { name, document, metadata, domain } = managed;
  const seed = join(metadata.folder, "seed.iso");
  const overlays = await findSeedOverlays(document, seed);
  if (readExplicitChains(document).length === 0 && overlays.length === 0) {
    return managed;
  }
  const reason = await findDifference(document, metadata);
  if (reason !== undefined) {
    throw failure("RECORDS_DIFFER", { name, reason });
  }
  dropChains(document);
  for (const overlay of overlays) {
    putSeed(document, overlay, seed);
  }
  await define(engine, document);
  const users = await readFileUsers();
  for (const overlay of overlays) {
    if (!(await users.has(overlay)) && (await isEmptyImage(overlay))) {
      await removeIfThere(overlay);
    }
  }
  return getLocked(engine, domain.uuid);
}

/** The overlays in the instance's folder that stand on the seed and take its place. */
async function findSeedOverlays(document: Element, seed: string): Promise<string[]> {
  const others = readOtherDisks(document).filter((path) => path !== seed && dirname(path) === dirname(seed));
  const found = await Promise.all(
    others.map(async (path) => {
      const header = await readHeader(path).catch(() => null);
      return header?.backing === seed ? [path] : [];
    }),
  );
  return found.flat();
}

/** How a definition's backing chain contradicts the headers; undefined if it does not. */
export async function findDifference(
  document: Element,
  metadata: Managed["metadata"],
): Promise<string | undefined> {
  const formats = new Map(ownFormats(document, metadata));
  const files = { backingOf: (path: string) => backingOf(path, formats), exists: existsSync };
  return readExplicitChains(document)
    .map((explicit) => compareChains(explicit.top, explicit, metadata.folder, files))
    .find((difference) => difference !== undefined);
}

/** The files as they are. */
export interface Files {
  /** The backing file in a file's header, null for none; undefined if the header cannot be read. */
  backingOf(path: string): string | null | undefined;
  exists(path: string): boolean;
}

/** Chains are followed from the top, so what stands on a file has told its format. */
function backingOf(path: string, formats: Map<string, Format>): string | null | undefined {
  try {
    const { backing, backingFormat } = readImageSync(path, formats.get(path) ?? "qcow2");
    if (backing !== null && backingFormat === "raw") {
      formats.set(backing, backingFormat);
    }
    return backing;
  } catch {
    return undefined;
  }
}

/** The file from which the chain goes on; without one, it ends, perhaps with a contradiction. */
type Followed =
  | { readonly file: string }
  | { readonly file?: undefined; readonly contradiction: string | undefined };

/** Compares the header of a file with the one that a definition lists next. */
function follow(file: string, next: string, folder: string, files: Files): Followed {
  const backing = files.backingOf(file);
  // A missing file cannot be read; whatever needs it reports that.
  if (backing === undefined) {
    return { contradiction: undefined };
  }
  const named = backing === null ? null : layerOf(folder, backing);
  const agrees = named === layerOf(folder, next);
  if (files.exists(next)) {
    const contradiction = `its definition says that ${file} stands on ${next}, but its header says ${named ?? "nothing"}`;
    return agrees ? { file: next } : { contradiction };
  }
  // A layer that is gone was merged since: the next one takes its place.
  return agrees || named === null ? { contradiction: undefined } : { file };
}

/** How the chain below `top` that a definition lists contradicts the headers; undefined if it does not. */
export function compareChains(
  top: string,
  explicit: Pick<ExplicitChain, "files" | "ends">,
  folder: string,
  files: Files,
): string | undefined {
  let file = top;
  for (const next of explicit.files) {
    const end = follow(file, next, folder, files);
    if (end.file === undefined) {
      return end.contradiction;
    }
    file = end.file;
  }
  const last = files.backingOf(file);
  return explicit.ends && typeof last === "string"
    ? `its definition says that ${file} stands on nothing, but its header says ${last}`
    : undefined;
}
