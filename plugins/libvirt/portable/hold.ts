import type { Context, HeldParcel } from "../../../lib/engine/contract.ts";
import { isShutOff } from "../domain/view.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import { getReady } from "../journal/recover.ts";
import { hideActiveLayers } from "../layers/hide.ts";
import { requireShutOff } from "../lifecycle/power.ts";
import { pin } from "../pins/pins.ts";
import { SnapshotCreateFlags } from "../rpc/index.ts";
import { withAttached } from "../snapshots/coverable.ts";
import { TAKE } from "../snapshots/freeze.ts";
import { requireLiveGuest, withAgent } from "../snapshots/live-guest.ts";
import { coveredDisks } from "../xml/disks.ts";
import { serialize } from "../xml/document.ts";
import { takeDocument } from "../xml/snapshot.ts";
import { parcelOf, requirePortable } from "./pack.ts";
import { wholeState } from "./state.ts";

/** What makes up an instance, pinned, as the contract says. */
export async function hold(
  engine: LibvirtEngine,
  id: string,
  { quiesce }: { readonly quiesce: boolean },
  context: Context,
): Promise<HeldParcel> {
  const managed = await withAttached(engine, await getReady(engine, id, context));
  const covered = coveredDisks(managed.document, managed.metadata);
  const state = await wholeState(managed, covered);
  requirePortable(managed, state.domain, state.snapshots);
  const runs = !(await isShutOff(managed));
  const live = quiesce ? "files" : "crash";
  if (runs) {
    await hideLive(engine, managed, quiesce);
  } else {
    await requireShutOff(managed, "A suspended instance cannot be backed up");
  }
  const parcel = await parcelOf(engine, managed, state, {});
  const { descriptor, [Symbol.asyncDispose]: release } = await pin(
    managed.metadata.folder,
    parcel.files.map(({ path }) => path),
  );
  return { ...parcel, consistency: runs ? live : "stopped", descriptor, [Symbol.asyncDispose]: release };
}

/** Has a running guest go on with new active layers, so that the present ones do not change. */
async function hideLive(engine: LibvirtEngine, managed: Managed, quiesce: boolean): Promise<void> {
  await requireLiveGuest(managed, quiesce ? "files" : "crash", false);
  await hideActiveLayers(engine, managed, async (files) => {
    const document = serialize(takeDocument(managed.document, "strata-backup", "", files));
    const flags = TAKE | SnapshotCreateFlags.NO_METADATA;
    await (quiesce
      ? withAgent(managed, () => managed.domain.createSnapshot(document, flags | SnapshotCreateFlags.QUIESCE))
      : managed.domain.createSnapshot(document, flags));
  });
}
