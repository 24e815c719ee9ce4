import { type LayerGraph, layerGraph, toLayer } from "../../../plugins/libvirt/layers/layer-graph.ts";

/** The folder of an instance that exists only in headers. */
export const FOLDER = "/pool/instances/i";
export const BASE = "/pool/images/base.qcow2";

export function layerPath(number: number): string {
  return `${FOLDER}/layer-00000000-0000-0000-0000-${String(number).padStart(12, "0")}.qcow2`;
}

/** The layers of an instance, each with the backing file that its header names; `copies` are flattened copies. */
export function graphOf(
  backing: Readonly<Record<string, string | null>>,
  {
    copies = {},
    inside = {},
    pending = [],
  }: {
    readonly copies?: Readonly<Record<string, string>>;
    /** Numbers of QEMU's own snapshots. */
    readonly inside?: Readonly<Record<string, number>>;
    readonly pending?: readonly string[];
  } = {},
): LayerGraph {
  const header = (path: string, below: string | null) => ({
    virtualSize: 1n,
    inside: inside[path] ?? 0,
    encrypted: false,
    externalData: false,
    backing: below,
    backingFormat: below === null ? null : "qcow2",
  });
  const removal = { inode: 1, modified: 1, file: "", above: [] };
  return layerGraph(
    "web",
    {
      folder: FOLDER,
      own: new Map(),
      headers: new Map(
        Object.entries(backing).map(([path, below]) => [path, toLayer(FOLDER, header(path, below))]),
      ),
      flattened: new Map(Object.entries(copies).map(([path, below]) => [path, header(path, below)])),
      unreadable: new Map(),
      pendingRemovals: new Map(pending.map((path) => [path, removal])),
    },
    () => Promise.reject(new Error("nothing to read")),
  );
}
