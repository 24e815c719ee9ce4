import type { TreeRecord } from "../domain/records.ts";

/**
 * An operation in progress on an instance, written into its config before its first step and removed with its
 * last, so that the next command can finish or undo it (`recovery.ts`). It refers to snapshots by their ids,
 * which stay when they are renamed.
 */
export type Operation =
  | { readonly kind: "create" }
  /** `live`: the instance ran, and is to go on or to stop. */
  | { readonly kind: "take"; readonly id: string; readonly taken: number; readonly live?: "kept" | "cut" }
  | { readonly kind: "restore"; readonly id: string }
  /** `tree` is the tree after the snapshot is removed. */
  | { readonly kind: "delete"; readonly id: string; readonly tree: TreeRecord }
  | { readonly kind: "rename"; readonly id: string; readonly to: string }
  /** Of the instance itself. `cloudInstance` is what LXD tells cloud-init its id is, which a rename changes. */
  | { readonly kind: "rename-instance"; readonly to: string; readonly cloudInstance: string }
  | { readonly kind: "purge" };
