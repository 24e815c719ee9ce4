import { randomUUID } from "node:crypto";
import { readdir, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { asStrataError, errnoOf, failure, reasonOf, type StrataError } from "../../../lib/errors.ts";
import { fileError, isAbsent } from "../errors.ts";
import { type Qcow2Header, readHeaderSync } from "../qcow2/header.ts";
import { type PendingRemovals, readPendingRemovals } from "./pending-removals.ts";

/** Names that strata gives to layers. libvirt gives others to those that it makes. */
const LAYER_NAME = /^layer-[0-9a-f-]{36}\.qcow2$/;
/** Names of stand-ins: each has the contents of the layer of the same UUID, on fewer files. */
const FLATTENED_NAME = /^(?:image|frame)-([0-9a-f-]{36}\.qcow2)$/;
/** Names of stand-ins that are being built. */
const PARTIAL_NAME = /^build-[0-9a-f-]{36}\.qcow2$/;

/**
 * A read image stands on the base image, for the head to read through; a keyframe on the keyframe below,
 * to keep chains short. Whatever reads through a layer may read through its stand-in as well.
 */
export type FlattenedKind = "image" | "frame";

/** A fresh path for a layer in the folder; file names are never used twice. */
export function newLayerPath(folder: string): string {
  return join(folder, `layer-${randomUUID()}.qcow2`);
}

/** Where a layer is kept for a moment while another takes its name. */
export function replacedPath(path: string): string {
  return `${path}.replaced`;
}

/** A fresh path for a stand-in while it is being built. */
export function newPartialPath(folder: string): string {
  return join(folder, `build-${randomUUID()}.qcow2`);
}

/** Path of the stand-in of a layer. */
export function flattenedPath(kind: FlattenedKind, layer: string): string {
  return join(dirname(layer), basename(layer).replace(/^layer/, kind));
}

/** The layer that a stand-in in the folder stands in for; any other path as it is. */
export function layerOf(folder: string, path: string): string {
  if (!isFlattenedPath(folder, path)) {
    return path;
  }
  return join(folder, basename(path).replace(FLATTENED_NAME, "layer-$1"));
}

/** True for a path that strata gave to a stand-in in the folder. */
export function isFlattenedPath(folder: string, path: string): boolean {
  return isNamed(FLATTENED_NAME, folder, path);
}

/** True for a path that strata gave to a stand-in in the folder that is being built. */
export function isPartialPath(folder: string, path: string): boolean {
  return isNamed(PARTIAL_NAME, folder, path);
}

/** True for a path that strata gave to a layer of the instance that lives in `folder`. */
export function isLayerPath(folder: string, path: string): boolean {
  return isNamed(LAYER_NAME, folder, path);
}

function isNamed(names: RegExp, folder: string, path: string): boolean {
  // In this order: it is asked of every file, and most have other names.
  return names.test(path.slice(folder.length + 1)) && dirname(path) === folder;
}

export interface Layer extends Qcow2Header {
  /** The layer or base image that it stands on; null for none. */
  readonly backing: string | null;
  /** The file that its header names: `backing`, or a stand-in for that. */
  readonly through: string | null;
}

/** True for any disk image in the folder that strata has made. */
export function isImagePath(folder: string, path: string): boolean {
  return isLayerPath(folder, path) || isFlattenedPath(folder, path) || isPartialPath(folder, path);
}

/** The layers of one instance as the files themselves tell it. Stand-ins are looked through. */
export interface LayerGraph {
  readonly folder: string;
  /** Header by absolute path, of every layer in the folder and of what is known to stand on one. */
  readonly headers: ReadonlyMap<string, Layer>;
  /** Header by absolute path, of every stand-in in the folder. */
  readonly flattened: ReadonlyMap<string, Qcow2Header>;
  /** Layers in the folder, and files that should be one, whose headers could not be read: what they stand on is not known. */
  readonly unreadable: ReadonlyMap<string, StrataError>;
  /** Layers that strata has let go. */
  readonly pendingRemovals: PendingRemovals;
  /** Paths that stand on `path`. */
  dependants(path: string): string[];
  /** The layers from `path` down to the base image, `path` first. */
  chain(path: string): string[];
  /** The files that QEMU opens to read `path`, `path` first. */
  opened(path: string): string[];
  /** The same read anew. */
  again(): Promise<LayerGraph>;
}

/**
 * Reads the headers of all layers in the folder, and of what stands on them under other names or in other
 * places as far as `roots` (the files that the domain and its snapshots name) tell: virsh makes overlays
 * too. Those that cannot be read are listed: whoever needs one meets its error in `checkChain`.
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
      // Seed and lock are no images; an overlay that virsh made is one and may stand on a layer.
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
        break; // A base image.
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

/** The header of one layer; rejects with LAYER_MISSING or LAYER_UNREADABLE. */
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

/** Rejects with LAYER_MISSING or LAYER_UNREADABLE unless every file from `path` down is there. */
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

/** Bytes that a layer takes on the disk; null when it is not there or not ours to look at. */
export async function layerSize(path: string): Promise<bigint | null> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  return found === null ? null : found.blocks * 512n;
}

/** Bytes that the files take on the disk, which is the most that copying them writes. */
export async function sizeOf(files: readonly string[]): Promise<bigint> {
  const sizes = await Promise.all(files.map(layerSize));
  return sizes.reduce<bigint>((sum, size) => sum + (size ?? 0n), 0n);
}

/**
 * Removes a layer or stand-in of the instance that lives in `folder`. Refuses a path that strata neither gave
 * nor let go; one that is gone is fine. The caller has made sure that nothing refers to it.
 */
export async function removeLayer(folder: string, path: string): Promise<void> {
  if (!isImagePath(folder, path) && !readPendingRemovals(folder).has(path)) {
    throw failure("INTERNAL", { reason: `${path} is no layer in ${folder} and was not removed` });
  }
  await unlink(path).catch((error: unknown) => {
    if (isAbsent(error)) {
      return;
    }
    throw fileError(error, path);
  });
}
