import type { TreeRecord } from "../domain/records.ts";

/**
 * What is under way on an instance, written into its config before the first step and removed with the
 * last, so that whoever comes next can finish or undo it (`recovery.ts`). Snapshots are named by their
 * ids, which stay when they are renamed.
 */
export type Operation =
  | { readonly kind: "create" }
  | { readonly kind: "take"; readonly id: string; readonly taken: number }
  | { readonly kind: "restore"; readonly id: string }
  /** `tree` is what the records are once the snapshot is gone. */
  | { readonly kind: "delete"; readonly id: string; readonly tree: TreeRecord }
  | { readonly kind: "rename"; readonly id: string; readonly to: string }
  | { readonly kind: "purge" };
