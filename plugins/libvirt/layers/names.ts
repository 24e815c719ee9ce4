import { basename, dirname, join } from "node:path";
import { newUuid } from "../../../lib/util/uuid.ts";

/** Names of layers that strata creates. libvirt gives other names to its own. */
export const LAYER_NAME = /^layer-[0-9a-f-]{36}\.qcow2$/;
/** Names of flattened copies. Each has the contents of the layer with the same UUID, on fewer files. */
export const FLATTENED_NAME = /^(?:image|frame)-([0-9a-f-]{36}\.qcow2)$/;
/** Names of flattened copies that are being built. */
export const PARTIAL_NAME = /^build-[0-9a-f-]{36}\.qcow2$/;

/**
 * The kinds of flattened copies. A read image stands on the base image, and the active layer reads through
 * it. A keyframe stands on the keyframe below, and keeps chains short. Whatever reads through a layer may
 * read through its flattened copy instead.
 */
export type FlattenedKind = "image" | "frame";

/** A new path for a layer in the folder. File names are never reused. */
export function newLayerPath(folder: string): string {
  return join(folder, `layer-${newUuid()}.qcow2`);
}

/** Where a layer is kept for a moment while another one takes its name. */
export function replacedPath(path: string): string {
  return `${path}.replaced`;
}

/** A new path for a flattened copy while it is being built. */
export function newPartialPath(folder: string): string {
  return join(folder, `build-${newUuid()}.qcow2`);
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

/** True if the path is that of any disk image that strata created in the folder. */
export function isImagePath(folder: string, path: string): boolean {
  return isLayerPath(folder, path) || isFlattenedPath(folder, path) || isPartialPath(folder, path);
}
