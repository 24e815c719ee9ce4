import type { SnapshotOutline, Snapshots } from "../../engine/contract.ts";

/**
 * The names of snapshots and the current one, from the engine's outline or, if it has none, from its tree.
 */
export async function outlineOf(group: Snapshots, id: string): Promise<SnapshotOutline> {
  if (group.outline !== undefined) {
    return group.outline(id);
  }
  const { snapshots, standsOn } = await group.tree(id);
  return { names: snapshots.map(({ name }) => name), standsOn };
}
