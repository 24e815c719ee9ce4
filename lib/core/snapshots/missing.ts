import type { Context } from "../../engine/contract.ts";
import { failure, type StrataError } from "../../errors.ts";
import { nearDetail } from "../../util/nearest.ts";
import type { SnapshotRef } from "../api/strata.ts";

/** SNAPSHOT_NOT_FOUND, with similar names among the existing ones. */
export async function snapshotNotFound(
  name: string,
  snapshot: string,
  names: () => Promise<readonly string[]> | readonly string[],
): Promise<StrataError> {
  return failure("SNAPSHOT_NOT_FOUND", { name, snapshot, ...(await nearDetail(snapshot, names)) });
}

/** Says which snapshots of a group are left alone. */
export function sayDeleted(deleted: readonly SnapshotRef[], context: Pick<Context, "warn">): void {
  for (const ref of deleted) {
    context.warn?.(`"${ref.instance}" is deleted; its snapshot ${ref.snapshot} is left alone`);
  }
}
