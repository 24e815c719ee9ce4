import { readdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { asStrataError, errnoOf, failure, reasonOf, type StrataError } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { fileError, isAbsent } from "../errors.ts";
import { requireUnpinned } from "../pins/pins.ts";
import { type Format, type Qcow2Header, readHeaderSync } from "../qcow2/header.ts";
import { readImageSync } from "../qcow2/image.ts";
import { ownFormats } from "../xml/own-files.ts";
import { type Layer, type LayerGraph, layerGraph, type OwnFormats, toLayer } from "./layer-graph.ts";
import { FLATTENED_NAME, isImagePath, LAYER_NAME, PARTIAL_NAME } from "./names.ts";
import { readPendingRemovals } from "./pending-removals.ts";

/**
 * Reads the headers of all layers in the folder, and of files elsewhere or with other names that stand on
 * them, as far as `roots` (the files that the domain and its snapshots name) lead to them: virsh creates
 * overlays too. Layers that cannot be read are listed; `checkChain` rejects with their error.
 */
export async function readLayers(
  { name, folder, own }: LayerPlace,
  roots: readonly string[] = [],
): Promise<LayerGraph> {
  const files = await readdir(folder).catch((error: unknown) => {
    throw fileError(error, folder);
  });
  const headers: Headers = { headers: new Map(), flattened: new Map(), unreadable: new Map() };
  for (const file of files) {
    readFile(headers, name, folder, file);
  }
  const ends = { own: new Map(own) };
  for (const { backingFormat, through } of headers.headers.values()) {
    if (backingFormat === "raw" && through !== null) {
      ends.own.set(through, "raw");
    }
  }
  for (const root of roots) {
    followChain(headers, { name, folder, ...ends }, root);
  }
  const contents = { folder, ...ends, ...headers, pendingRemovals: readPendingRemovals(folder) };
  return layerGraph(name, contents, () => readLayers({ name, folder, own }, roots));
}

/** The layers of an instance: its name, the folder, and the files that they stand on; see `ownFormats`. */
export interface LayerPlace {
  readonly name: string;
  readonly folder: string;
  readonly own: OwnFormats;
}

/** Where the layers of an instance are. */
export function layerPlace({
  name,
  document,
  metadata,
}: Pick<Managed, "name" | "document" | "metadata">): LayerPlace {
  return { name, folder: metadata.folder, own: ownFormats(document, metadata) };
}

/** Headers that have been read, by absolute path. */
interface Headers {
  readonly headers: Map<string, Layer>;
  readonly flattened: Map<string, Qcow2Header>;
  readonly unreadable: Map<string, StrataError>;
}

/** Adds a file of the folder, if it is a layer or an image that may stand on one. */
function readFile(into: Headers, name: string, folder: string, file: string): void {
  const path = join(folder, file);
  if (PARTIAL_NAME.test(file) || file.endsWith(".replaced")) {
    return;
  }
  if (LAYER_NAME.test(file)) {
    const header = readHeaderOf(into, name, path);
    if (header !== undefined) {
      into.headers.set(path, toLayer(folder, header));
    }
    return;
  }
  // Seed and lock are not layers. An overlay that virsh created is an image and may stand on a layer.
  const header = tryHeader(path);
  if (header === undefined || header.backing === join(folder, "seed.iso")) {
    return;
  }
  if (FLATTENED_NAME.test(file)) {
    into.flattened.set(path, header);
  } else {
    into.headers.set(path, toLayer(folder, header));
  }
}

/**
 * Adds the files from `root` down, as far as they are not there yet, without the base image or the file that a domain
 * brought along.
 */
function followChain(into: Headers, { name, folder, own }: LayerPlace, root: string): void {
  for (let at: string | null = root; at !== null && !into.headers.has(at) && !own.has(at); ) {
    const header: Qcow2Header | undefined = into.unreadable.has(at)
      ? undefined
      : readHeaderOf(into, name, at);
    if (header === undefined || header.backing === null) {
      return;
    }
    const layer: Layer = toLayer(folder, header);
    into.headers.set(at, layer);
    at = layer.backingFormat === "raw" ? null : layer.backing;
  }
}

/** The header of a layer; undefined, with its error added to `unreadable`, if it cannot be read. */
function readHeaderOf(into: Headers, name: string, path: string): Qcow2Header | undefined {
  try {
    return readLayerSync(name, path);
  } catch (error) {
    into.unreadable.set(path, asStrataError(error));
    return undefined;
  }
}

/** The header of one layer, or of a file of that format. Rejects with LAYER_MISSING or LAYER_UNREADABLE. */
export async function readLayer(name: string, path: string, format: Format = "qcow2"): Promise<Qcow2Header> {
  return readLayerSync(name, path, format);
}

function tryHeader(path: string): Qcow2Header | undefined {
  try {
    return readHeaderSync(path);
  } catch {
    return undefined;
  }
}

function readLayerSync(name: string, path: string, format: Format = "qcow2"): Qcow2Header {
  try {
    return readImageSync(path, format);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT") {
      throw failure("LAYER_MISSING", { name, path }, error);
    }
    if (code !== undefined) {
      throw fileError(error, path);
    }
    const reason = reasonOf(error);
    throw failure("LAYER_UNREADABLE", { name, path, reason }, error);
  }
}

/** Rejects with LAYER_MISSING or LAYER_UNREADABLE unless every file from `path` down can be read. */
export async function checkChain(name: string, graph: LayerGraph, path: string): Promise<string[]> {
  if (!graph.headers.has(path)) {
    await readLayer(name, path, graph.formatOf(path));
  }
  const chain = graph.chain(path);
  const base = chain.at(-1);
  if (base !== undefined && !graph.headers.has(base)) {
    await checkBase(name, base, graph.formatOf(base));
  }
  return chain;
}

/** Rejects unless a file that is followed no further can be read, with all that it stands on. */
async function checkBase(name: string, base: string, format: Format): Promise<void> {
  const seen = new Set<string>();
  for (let at: string | null = base, as = format; at !== null && !seen.has(at); ) {
    seen.add(at);
    const header: Qcow2Header = await readLayer(name, at, as);
    as = header.backingFormat === "raw" ? "raw" : "qcow2";
    at = header.backing;
  }
}

/** Disk space that a layer uses, in bytes; null if it does not exist or cannot be accessed. */
export async function layerSize(path: string): Promise<bigint | null> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  return found === null ? null : found.blocks * 512n;
}

/** Disk space that the files use, in bytes: the most that copying them writes. */
export async function sizeOf(files: readonly string[]): Promise<bigint> {
  const sizes = await Promise.all(files.map(layerSize));
  return sizes.reduce<bigint>((sum, size) => sum + (size ?? 0n), 0n);
}

/**
 * Removes a layer or flattened copy of the instance in `folder`; it may already be gone. Refuses a path that
 * strata neither created nor scheduled for removal. The caller has made sure that nothing refers to it.
 */
export async function removeLayer(folder: string, path: string): Promise<void> {
  if (!isImagePath(folder, path) && !readPendingRemovals(folder).has(path)) {
    throw failure("INTERNAL", { reason: `${path} is not a layer in ${folder} and was not removed` });
  }
  await requireUnpinned(path);
  await unlink(path).catch((error: unknown) => {
    if (isAbsent(error)) {
      return;
    }
    throw fileError(error, path);
  });
}
