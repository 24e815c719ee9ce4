import type { EngineState } from "./instances.ts";

/**
 * What happens from subscription on, by whomever. "resync" comes first, once nothing is missed any more,
 * and after each gap: the caller lists again. "changed" is anything but the state: made, deleted,
 * recovered, resized, a snapshot taken, restored, deleted or renamed. More than happened may be told.
 */
export type EngineEvent =
  | { readonly at: number; readonly kind: "state"; readonly id: string; readonly state: EngineState }
  | { readonly at: number; readonly kind: "changed" | "removed"; readonly id: string }
  | { readonly at: number; readonly kind: "resync" };
