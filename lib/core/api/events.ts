import type { Consistency, Resources } from "../../engine/contract.ts";
import type { InstanceState } from "./instance-info.ts";

/** Options of {@link Strata.events}. */
export interface EventsOptions {
  /**
   * Ends the events.
   *
   * @default a signal that never fires
   */
  readonly signal?: AbortSignal;
}

/** An event; `at` in ms. In the JSON of the command line `kind` is `event` and `at` is `time`. */
export type StrataEvent = { readonly at: number } & (
  | {
      /**
       * No event after this one is missed. Changes during a gap follow at once, as far as they can still be
       * seen.
       */
      readonly kind: "resync";
    }
  | { readonly kind: "create" | "delete" | "recover" | "purge"; readonly instance: string }
  | { readonly kind: "rename"; readonly instance: string; readonly from: string }
  | { readonly kind: "state"; readonly instance: string; readonly state: InstanceState }
  | ({ readonly kind: "resize"; readonly instance: string } & Resources)
  | {
      /** Of disks beside the system disk, whose changes are `resize`. */
      readonly kind: "disk-add" | "disk-resize";
      readonly instance: string;
      readonly disk: string;
      readonly size: bigint;
    }
  | {
      readonly kind: "disk-remove" | "disk-exclude" | "disk-include";
      readonly instance: string;
      readonly disk: string;
    }
  | {
      readonly kind: "snapshot";
      readonly instance: string;
      readonly snapshot: string;
      /** As in `SnapshotInfo`. */
      readonly consistency: Consistency;
      /** As in `SnapshotInfo`. */
      readonly group: string | null;
    }
  | {
      readonly kind: "restore" | "snapshot-delete";
      readonly instance: string;
      readonly snapshot: string;
    }
  | {
      readonly kind: "snapshot-rename";
      readonly instance: string;
      readonly snapshot: string;
      readonly from: string;
    }
);
