import { failure, type StrataError } from "../../../lib/errors.ts";
import type { Format, Qcow2Header } from "../qcow2/header.ts";
import { layerOf } from "./names.ts";
import type { PendingRemovals } from "./pending-removals.ts";

/** A qcow2 file with the layer that it stands on. */
export interface Layer extends Qcow2Header {
  /**
   * The layer or base image that it stands on; null for none. The file that its header names may be a
   * flattened copy of that.
   */
  readonly backing: string | null;
  /** The file that its header names: `backing` or a flattened copy of it. */
  readonly through: string | null;
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
  /**
   * The files that adopted domains brought along and those of a raw format, with their formats. What such a file
   * stands on is its owner's, and not followed.
   */
  readonly own: OwnFormats;
  /** Layers that strata may remove. */
  readonly pendingRemovals: PendingRemovals;
  /** The format of a file of a chain. */
  formatOf(path: string): Format;
  /** The files that stand on `path`. */
  dependants(path: string): string[];
  /** The layers from `path` down to the base image, beginning with `path`. */
  chain(path: string): string[];
  /** The files that QEMU opens to read `path`, beginning with `path`. */
  opened(path: string): string[];
  /** Reads the graph again. */
  again(): Promise<LayerGraph>;
}

/** What was read of an instance's layers. */
type Contents = Pick<
  LayerGraph,
  "folder" | "headers" | "flattened" | "unreadable" | "pendingRemovals" | "own"
>;

/** Formats by absolute path. */
export type OwnFormats = ReadonlyMap<string, Format>;

/** A layer as its header says, looking through flattened copies in the folder. */
export function toLayer(folder: string, { backing: through, ...header }: Qcow2Header): Layer {
  return { ...header, backing: through === null ? null : layerOf(folder, through), through };
}

/** The graph of the headers that were read; `name` is the instance's. */
export function layerGraph(name: string, contents: Contents, again: () => Promise<LayerGraph>): LayerGraph {
  const { headers, flattened } = contents;
  const above = dependantsOf(headers);
  const formats = rawBelow([...headers.values(), ...flattened.values()]);
  return {
    ...contents,
    formatOf: (path) => contents.own.get(path) ?? (formats.has(path) ? "raw" : "qcow2"),
    dependants: (path) => [...(above.get(path) ?? [])],
    chain: (path) => walk(name, path, (at) => headers.get(at)?.backing),
    opened: (path) => walk(name, path, (at) => headers.get(at)?.through ?? flattened.get(at)?.backing),
    again,
  };
}

/** The files that a header says are raw. */
function rawBelow(
  headers: readonly (Qcow2Header & { readonly through?: string | null })[],
): ReadonlySet<string> {
  const raw = headers.filter(({ backingFormat }) => backingFormat === "raw");
  return new Set(raw.flatMap(({ through, backing }) => through ?? backing ?? []));
}

function dependantsOf(headers: ReadonlyMap<string, Layer>): ReadonlyMap<string, readonly string[]> {
  const above = new Map<string, string[]>();
  for (const [path, { backing }] of headers) {
    if (backing === null) {
      continue;
    }
    const others = above.get(backing);
    if (others === undefined) {
      above.set(backing, [path]);
    } else {
      others.push(path);
    }
  }
  return above;
}

/** A file and those below it. Throws if a file stands on itself. */
function walk(name: string, path: string, below: (at: string) => string | null | undefined): string[] {
  const found = new Set([path]);
  for (let at = below(path); at; at = below(at)) {
    if (found.has(at)) {
      throw failure("RECORDS_DIFFER", { name, reason: `layer ${at} stands on itself` });
    }
    found.add(at);
  }
  return [...found];
}
