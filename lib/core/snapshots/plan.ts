import type { Removal, SnapshotTree } from "../../engine/contract.ts";
import { childrenOf } from "./tree.ts";

/** How deleting a snapshot changes the tree; undefined if it does not exist. */
export function planRemoval(tree: SnapshotTree, name: string): Removal | undefined {
  const snapshot = tree.snapshots.find((each) => each.name === name);
  if (snapshot === undefined) {
    return undefined;
  }
  return { name, parent: snapshot.parent, children: childrenOf(tree.snapshots, name) };
}

/**
 * The tree after a removal: children, and the instance if it was current, get the parent of the removed
 * snapshot.
 */
export function afterRemoval(tree: SnapshotTree, { name, parent, children }: Removal): SnapshotTree {
  const moved = new Set(children);
  return {
    snapshots: tree.snapshots
      .filter((snapshot) => snapshot.name !== name)
      .map((snapshot) => (moved.has(snapshot.name) ? { ...snapshot, parent } : snapshot)),
    standsOn: tree.standsOn === name ? parent : tree.standsOn,
  };
}
