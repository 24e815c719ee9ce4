import type { Context } from "../../../lib/engine/contract.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import { saveMemory } from "../memory/save.ts";
import { plugMounts, unplugMounts } from "../mounts/hotplug.ts";
import { type DomainSnapshot, SnapshotCreateFlags } from "../rpc/index.ts";
import { withAgent } from "./live-guest.ts";

/**
 * How a snapshot of disks is taken. strata creates the overlay: libvirt would make it readable by everyone, and start a
 * program to create it.
 */
export const TAKE =
  SnapshotCreateFlags.DISK_ONLY | SnapshotCreateFlags.ATOMIC | SnapshotCreateFlags.REUSE_EXT;

/** Has libvirt take the snapshot that the entry in the metadata announces, and cut the power if that says so. */
export async function freeze(
  engine: LibvirtEngine,
  managed: Managed,
  document: string,
  context: Context,
): Promise<DomainSnapshot> {
  const { domain, metadata } = managed;
  const { consistency, cut } = metadata.snapshot ?? {};
  if (consistency === "memory") {
    await unplugMounts(managed);
    const snapshot = await saveMemory(managed, document, context);
    await plugMounts(engine, managed, context);
    return snapshot;
  }
  if (consistency === "files") {
    return withAgent(managed, () => domain.createSnapshot(document, TAKE | SnapshotCreateFlags.QUIESCE));
  }
  if (cut === undefined) {
    return domain.createSnapshot(document, TAKE);
  }
  // A guest that is paused writes nothing that neither the snapshot nor the disk after it would have.
  await domain.suspend();
  const snapshot = await domain.createSnapshot(document, TAKE);
  await domain.destroy();
  return snapshot;
}
