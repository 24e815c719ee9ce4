import type { Managed } from "../engine.ts";
import { reconcile } from "../snapshots/reconcile.ts";
import { ownLayers } from "../xml/disks.ts";
import { readGraph, requireWritable } from "./graph.ts";
import { checkChain } from "./layers.ts";

/**
 * Rejects unless the active layers are complete and may be written, according to libvirt and the folder as they
 * are now. The caller has locked the instance.
 */
export async function requireWritableNow(managed: Managed): Promise<void> {
  const { name, document, metadata } = managed;
  const copies = await reconcile(managed);
  const graph = await readGraph(managed, copies);
  for (const path of ownLayers(document, metadata.folder)) {
    await checkChain(name, graph, path);
  }
  requireWritable(managed, graph, copies);
}
