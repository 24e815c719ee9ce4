import type { Context, Lock } from "./call.ts";
import type { Instance, InstanceRecord } from "./instances.ts";

/** Bringing in what was made without strata, and letting it go again; disks and definition stay. */
export interface Adoption {
  /** What could be adopted, by the engine's own names, and why what could not cannot. */
  candidates(): Promise<readonly { readonly name: string; readonly obstacle: string | null }[]>;
  /**
   * Rejects with INSTANCE_NOT_FOUND, INSTANCE_EXISTS (ours already), DISK_NOT_FOUND (one to exclude) or UNSUPPORTED
   * with the reason. The instance tells all of its further disks, those that snapshots will not cover as excluded.
   */
  adopt(name: string, record: InstanceRecord, context: Context, options?: AdoptionOptions): Promise<Instance>;
  /** Makes it foreign again. Refused while it has snapshots. */
  release(lock: Lock, context: Context): Promise<void>;
}

export interface AdoptionOptions {
  /** Names of disks that snapshots are to leave out; only where the feature "disks" is declared. */
  readonly exclude?: readonly string[];
  /** What strata calls it instead of its own name, which it keeps: other tools go on finding it by that. */
  readonly name?: string;
}
