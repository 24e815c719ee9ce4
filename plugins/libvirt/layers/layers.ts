import { randomUUID } from "node:crypto";
import { readdir, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { asStrataError, errnoOf, failure, reasonOf, type StrataError } from "../../../lib/errors.ts";
import { fileError, isAbsent } from "../errors.ts";
import { type Qcow2Header, readHeaderSync } from "../qcow2/header.ts";
import { type PendingRemovals, readPendingRemovals } from "./pending-removals.ts";

/** Names of layers that strata creates. libvirt gives other names to its own. */
const LAYER_NAME = /^layer-[0-9a-f-]{36}\.qcow2$/;
/** Names of flattened copies. Each has the contents of the layer with the same UUID, on fewer files. */
const FLATTENED_NAME = /^(?:image|frame)-([0-9a-f-]{36}\.qcow2)$/;
/** Names of flattened copies that are being built. */
const PARTIAL_NAME = /^build-[0-9a-f-]{36}\.qcow2$/;

/**
 * The kinds of flattened copies. A read image stands on the base image, and the active layer reads through
 * it. A keyframe stands on the keyframe below, and keeps chains short. Whatever reads through a layer may
 * read through its flattened copy instead.
 */
export type FlattenedKind = "image" | "frame";

/** A new path for a layer in the folder. File names are never reused. */
export function newLayerPath(folder: string): string {
  return join(folder, `layer-${randomUUID()}.qcow2`);
}

/** Where a layer is kept for a moment while another one takes its name. */
export function replacedPath(path: string): string {
  return `${path}.replaced`;
}

/** A new path for a flattened copy while it is being built. */
export function newPartialPath(folder: string): string {
  return join(folder, `build-${randomUUID()}.qcow2`);
}

/** Path of a layer's flattened copy. */
export function flattenedPath(kind: FlattenedKind, layer: string): string {
  return join(dirname(layer), basename(layer).replace(/^layer/, kind));
}

/** The layer of which a file in the folder is a flattened copy; any other path unchanged. */
export function layerOf(folder: string, path: string): string {
  if (!isFlattenedPath(folder, path)) {
    return path;
  }
  return join(folder, basename(path).replace(FLATTENED_NAME, "layer-$1"));
}

/** True if the path is that of a flattened copy in the folder. */
export function isFlattenedPath(folder: string, path: string): boolean {
  return isNamed(FLATTENED_NAME, folder, path);
}

/** True if the path is that of a flattened copy in the folder that is being built. */
export function isPartialPath(folder: string, path: string): boolean {
  return isNamed(PARTIAL_NAME, folder, path);
}

/** True if the path is that of a layer that strata created in the folder. */
export function isLayerPath(folder: string, path: string): boolean {
  return isNamed(LAYER_NAME, folder, path);
}

function isNamed(names: RegExp, folder: string, path: string): boolean {
  // In this order, because this is called for every file, and most have other names.
  return names.test(path.slice(folder.length + 1)) && dirname(path) === folder;
}

export interface Layer extends Qcow2Header {
  /**
   * The layer or base image that it stands on; null for none. The file that its header names may be a
   * flattened copy of that.
   */
  readonly backing: string | null;
  /** The file that its header names: `backing` or a flattened copy of it. */
  readonly through: string | null;
}

/** True if the path is that of any disk image that strata created in the folder. */
export function isImagePath(folder: string, path: string): boolean {
  return isLayerPath(folder, path) || isFlattenedPath(folder, path) || isPartialPath(folder, path);
}

/** The layers of one instance, as their headers say. Flattened copies are looked through. */
export interface LayerGraph {
  readonly folder: string;
  /** Headers by absolute path: every layer in the folder, and what is known to stand on one. */
  readonly headers: ReadonlyMap<string, Layer>;
  /** Headers by absolute path: every flattened copy in the folder. */
  readonly flattened: ReadonlyMap<string, Qcow2Header>;
  /**
   * Layers in the folder, and files that should be layers, whose headers cannot be read: what they stand on
   * is unknown.
   */
  readonly unreadable: ReadonlyMap<string, StrataError>;
  /** Layers that strata may remove. */
  readonly pendingRemovals: PendingRemovals;
  /** The files that stand on `path`. */
  dependants(path: string): string[];
  /** The layers from `path` down to the base image, beginning with `path`. */
  chain(path: string): string[];
  /** The files that QEMU opens to read `path`, beginning with `path`. */
  opened(path: string): string[];
  /** Reads the graph again. */
  again(): Promise<LayerGraph>;
}

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
  const headers = new Map<string, Layer>();
  const flattened = new Map<string, Qcow2Header>();
  const unreadable = new Map<string, StrataError>();
  const add = (path: string, { backing: through, ...header }: Qcow2Header) => {
    const backing = through === null ? null : layerOf(folder, through);
    headers.set(path, { ...header, backing, through });
  };
  const read = (path: string) => {
    try {
      return readLayerSync(name, path);
    } catch (error) {
      unreadable.set(path, asStrataError(error));
      return undefined;
    }
  };
  for (const file of files) {
    const path = join(folder, file);
    if (LAYER_NAME.test(file)) {
      const header = read(path);
      if (header !== undefined) {
        add(path, header);
      }
    } else if (!PARTIAL_NAME.test(file) && !file.endsWith(".replaced")) {
      // Seed and lock are not layers. An overlay that virsh created is an image and may stand on a layer.
      const header = tryHeader(path);
      if (header === undefined || header.backing === join(folder, "seed.iso")) {
        continue;
      }
      if (FLATTENED_NAME.test(file)) {
        flattened.set(path, header);
      } else {
        add(path, header);
      }
    }
  }
  for (const root of roots) {
    for (let at: string | null = root; at !== null && !headers.has(at); ) {
      const header = unreadable.has(at) ? undefined : read(at);
      if (header === undefined || header.backing === null) {
        break; // a base image
      }
      add(at, header);
      at = layerOf(folder, header.backing);
    }
  }
  const dependants = new Map<string, string[]>();
  for (const [path, { backing }] of headers) {
    if (backing === null) {
      continue;
    }
    const others = dependants.get(backing);
    if (others === undefined) {
      dependants.set(backing, [path]);
    } else {
      others.push(path);
    }
  }
  const walk = (path: string, below: (at: string) => string | null | undefined) => {
    const found = new Set([path]);
    for (let at = below(path); at; at = below(at)) {
      if (found.has(at)) {
        throw failure("RECORDS_DIFFER", { name, reason: `layer ${at} stands on itself` });
      }
      found.add(at);
    }
    return [...found];
  };
  return {
    folder,
    headers,
    flattened,
    unreadable,
    pendingRemovals: readPendingRemovals(folder),
    dependants: (path) => [...(dependants.get(path) ?? [])],
    chain: (path) => walk(path, (at) => headers.get(at)?.backing),
    again: () => readLayers(name, folder, roots),
    opened: (path) => walk(path, (at) => headers.get(at)?.through ?? flattened.get(at)?.backing),
  };
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
