/**
 * What is under way on an instance, written into its domain's metadata before the first step and
 * removed after the last, so that whoever comes next can finish or undo it (`recovery.ts`). All members
 * are strings since they are kept as XML attributes; paths are absolute.
 */
export type Operation =
  | { readonly kind: "create" }
  | {
      readonly kind: "take";
      readonly name: string;
      readonly file: string;
      readonly taken: string;
      /** "" for none; absent in notes of earlier versions. */
      readonly parent?: string;
    }
  | { readonly kind: "restore"; readonly name: string; readonly file: string; readonly old: string }
  | { readonly kind: "delete"; readonly name: string }
  /** `child` is being moved from `layer`, which goes, to `target`, the file below it. */
  | { readonly kind: "merge"; readonly layer: string; readonly child: string; readonly target: string }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "resize"; readonly disk: string }
  | { readonly kind: "purge" }
  /** An adopted domain is being let go. */
  | { readonly kind: "release" };
