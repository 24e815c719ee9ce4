import { failure } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import { redefine } from "./redefine.ts";

/**
 * Rejects if libvirt has checkpoints of the domain: it does not take snapshots of a stopped one then (up to
 * 11.3).
 */
export async function requireNoCheckpoints({
  name,
  domain,
}: Pick<Managed, "name" | "domain">): Promise<void> {
  const checkpoints = await domain.listCheckpoints();
  if (checkpoints.length === 0) {
    return;
  }
  throw failure("CHECKPOINTS_IN_WAY", { name, checkpoints: checkpoints.join(", ") });
}

/**
 * Rejects if libvirt would refuse to redefine a snapshot: 9.0 does beside checkpoints, which backup tools
 * leave, and 11.3 does not. So it is tried, without a change, before anything else is changed.
 */
export async function requireRedefinable(managed: Managed, snapshot: SnapshotDocument): Promise<void> {
  const { name, domain } = managed;
  const checkpoints = await domain.listCheckpoints();
  if (checkpoints.length === 0) {
    return;
  }
  const current = (await domain.currentSnapshot())?.name === snapshot.name;
  await redefine(managed, snapshot, {}, current).catch((error: unknown) => {
    if (!isLibvirt(error, "OPERATION_UNSUPPORTED")) {
      throw error;
    }
    throw failure("CHECKPOINTS_IN_WAY", { name, checkpoints: checkpoints.join(", ") }, error);
  });
}
