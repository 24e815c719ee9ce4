import type { Managed } from "../engine.ts";
import { reconcile } from "../snapshots/reconcile.ts";
import { readDisk } from "../xml/disks.ts";
import { readGraph, requireWritable } from "./graph.ts";
import { checkChain } from "./layers.ts";

/**
 * Rejects unless the active layer is complete and may be written, according to libvirt and the folder as they
 * are now. The caller has locked the instance.
 */
export async function requireWritableNow(managed: Managed): Promise<void> {
  const { name, document } = managed;
  const copies = await reconcile(managed);
  const graph = await readGraph(managed, copies);
  await checkChain(name, graph, readDisk(document));
  requireWritable(managed, graph, copies);
}
