import { readdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { asStrataError, errnoOf, failure, reasonOf, type StrataError } from "../../../lib/errors.ts";
import { fileError, isAbsent } from "../errors.ts";
import { type Qcow2Header, readHeaderSync } from "../qcow2/header.ts";
import { type Layer, type LayerGraph, layerGraph, toLayer } from "./layer-graph.ts";
import { FLATTENED_NAME, isImagePath, LAYER_NAME, PARTIAL_NAME } from "./names.ts";
import { readPendingRemovals } from "./pending-removals.ts";

/**
 * Reads the headers of all layers in the folder, and of files elsewhere or with other names that stand on
 * them, as far as `roots` (the files that the domain and its snapshots name) lead to them: virsh creates
 * overlays too. Layers that cannot be read are listed; `checkChain` rejects with their error.
 */
export async function readLayers(
  name: string,
  folder: string,
  roots: readonly string[] = [],
): Promise<LayerGraph> {
  const files = await readdir(folder).catch((error: unknown) => {
    throw fileError(error, folder);
  });
  const headers: Headers = { headers: new Map(), flattened: new Map(), unreadable: new Map() };
  for (const file of files) {
    readFile(headers, name, folder, file);
  }
  for (const root of roots) {
    followChain(headers, name, folder, root);
  }
  const contents = { folder, ...headers, pendingRemovals: readPendingRemovals(folder) };
  return layerGraph(name, contents, () => readLayers(name, folder, roots));
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

/** Adds the files from `root` down, as far as they are not there yet, without the base image. */
function followChain(into: Headers, name: string, folder: string, root: string): void {
  for (let at: string | null = root; at !== null && !into.headers.has(at); ) {
    const header: Qcow2Header | undefined = into.unreadable.has(at)
      ? undefined
      : readHeaderOf(into, name, at);
    if (header === undefined || header.backing === null) {
      return;
    }
    const layer: Layer = toLayer(folder, header);
    into.headers.set(at, layer);
    at = layer.backing;
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

/** The header of one layer. Rejects with LAYER_MISSING or LAYER_UNREADABLE. */
export async function readLayer(name: string, path: string): Promise<Qcow2Header> {
  return readLayerSync(name, path);
}

function tryHeader(path: string): Qcow2Header | undefined {
  try {
    return readHeaderSync(path);
  } catch {
    return undefined;
  }
}

function readLayerSync(name: string, path: string): Qcow2Header {
  try {
    return readHeaderSync(path);
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
    await readLayer(name, path);
  }
  const chain = graph.chain(path);
  const base = chain.at(-1);
  if (base !== undefined && !graph.headers.has(base)) {
    await readLayer(name, base);
  }
  return chain;
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
  await unlink(path).catch((error: unknown) => {
    if (isAbsent(error)) {
      return;
    }
    throw fileError(error, path);
  });
}
