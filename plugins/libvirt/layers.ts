import { randomUUID } from "node:crypto";
import { readdir, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { failure } from "../../lib/errors.ts";
import { fileError } from "./errors.ts";
import { type Qcow2Header, readHeader } from "./qcow2-header.ts";

/** libvirt starts a chain of 200 files, base image included, and makes but cannot start a longer one. */
export const CHAIN_LIMIT = 200;

/** Names that strata gives to layers. Nothing else in an instance's folder is ever removed as a layer. */
const LAYER_NAME = /^layer-[0-9a-f-]{36}\.qcow2$/;

/** A fresh path for a layer in the folder; file names are never used twice. */
export function newLayerPath(folder: string): string {
  return join(folder, `layer-${randomUUID()}.qcow2`);
}

/** True for a path that strata gave to a layer of the instance that lives in `folder`. */
export function isLayerPath(folder: string, path: string): boolean {
  return dirname(path) === folder && LAYER_NAME.test(path.slice(folder.length + 1));
}

/** The layers of one instance as the files themselves tell it. */
export interface LayerGraph {
  readonly folder: string;
  /** Header by absolute path, of every layer in the folder and of what is known to stand on one. */
  readonly headers: ReadonlyMap<string, Qcow2Header>;
  /** Paths whose backing file is `path`. */
  dependants(path: string): string[];
  /** The files from `path` down to the base image, `path` first. */
  chain(path: string): string[];
}

/**
 * Reads the headers of all layers in the folder, and of what stands on them under other names or in other
 * places as far as `roots` (the files that the domain and its snapshots name) tell: virsh makes overlays
 * too. A layer or root that cannot be read is an error that names it.
 */
export async function readLayers(
  name: string,
  folder: string,
  roots: readonly string[] = [],
): Promise<LayerGraph> {
  const files = await readdir(folder).catch((error: unknown) => {
    throw fileError(error, folder);
  });
  const found = await Promise.all(
    files.map(async (file) => {
      const path = join(folder, file);
      if (LAYER_NAME.test(file)) return [[path, await readLayer(name, path)] as const];
      // Seed and lock are no images; an overlay that virsh made is one and may stand on a layer.
      const header = await readHeader(path).catch(() => undefined);
      return header === undefined ? [] : [[path, header] as const];
    }),
  );
  const headers = new Map(found.flat());
  for (const root of roots)
    for (let at: string | null = root; at !== null && !headers.has(at); ) {
      const header: Qcow2Header = await readLayer(name, at);
      if (header.backing === null) break; // A base image.
      headers.set(at, header);
      at = header.backing;
    }
  const dependants = new Map<string, string[]>();
  for (const [path, { backing }] of headers) {
    if (backing === null) continue;
    dependants.set(backing, [...(dependants.get(backing) ?? []), path]);
  }
  return {
    folder,
    headers,
    dependants: (path) => dependants.get(path) ?? [],
    chain(path) {
      const files = [path];
      for (let at = headers.get(path)?.backing; at; at = headers.get(at)?.backing) {
        if (files.includes(at))
          throw failure("RECORDS_DIFFER", { name, reason: `layer ${at} stands on itself` });
        files.push(at);
      }
      return files;
    },
  };
}

/** The header of one layer. */
export async function readLayer(name: string, path: string): Promise<Qcow2Header> {
  try {
    return await readHeader(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") throw failure("LAYER_MISSING", { name, path }, error);
    if (code !== undefined) throw fileError(error, path);
    const reason = error instanceof Error ? error.message : String(error);
    throw failure("LAYER_UNREADABLE", { name, path, reason }, error);
  }
}

/** Rejects with LAYER_MISSING or LAYER_UNREADABLE unless every file from `path` down is there. */
export async function checkChain(name: string, graph: LayerGraph, path: string): Promise<string[]> {
  if (!graph.headers.has(path)) await readLayer(name, path);
  const chain = graph.chain(path);
  const base = chain.at(-1);
  if (base !== undefined && !graph.headers.has(base)) await readLayer(name, base);
  return chain;
}

/** Bytes that a layer takes on the disk; null when it is not there or not ours to look at. */
export async function layerSize(path: string): Promise<bigint | null> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  return found === null ? null : found.blocks * 512n;
}

/**
 * Removes a layer of the instance that lives in `folder`. Refuses a path that strata did not give;
 * one that is gone is fine. The caller has made sure that nothing refers to it.
 */
export async function removeLayer(folder: string, path: string): Promise<void> {
  if (!isLayerPath(folder, path))
    throw failure("INTERNAL", { reason: `${path} is no layer in ${folder} and was not removed` });
  await unlink(path).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw fileError(error, path);
  });
}
