import type { SnapshotOutline, Snapshots } from "../../engine/contract.ts";

/** Names and what the instance stands on, from the engine or, where it has no shorter way, from its tree. */
export async function outlineOf(group: Snapshots, id: string): Promise<SnapshotOutline> {
  if (group.outline !== undefined) {
    return group.outline(id);
  }
  const { snapshots, standsOn } = await group.tree(id);
  return { names: snapshots.map(({ name }) => name), standsOn };
}
