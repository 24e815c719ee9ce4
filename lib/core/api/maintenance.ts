import type { Check, Finding } from "../../engine/contract.ts";
import type { DiskUsage } from "./disk-usage.ts";
import type { CallOptions } from "./session.ts";

/** Options of {@link StrataMaintenance.audit}. */
export interface AuditOptions extends CallOptions {
  /**
   * Checks the contents of files too; takes minutes, not seconds.
   *
   * @default false
   */
  readonly deep?: boolean;
}

/** Options of {@link StrataMaintenance.repair}. */
export interface RepairOptions extends CallOptions {
  /**
   * The choice to make, one of the findings' `choices`.
   *
   * @default what each finding offers as `repair`, which never loses data
   */
  readonly choice?: string;
}

/** Checks and repairs of this host and the engine's records. */
export interface StrataMaintenance {
  /** Checks of host and engine; never rejects. */
  doctor(): Promise<Check[]>;
  /** What strata's files take on this host: images once each, instances by what their files are for. Changes nothing. */
  usage(options?: CallOptions): Promise<DiskUsage>;
  /** Inconsistencies in the records and files of instances. Changes nothing. */
  audit(options?: AuditOptions): Promise<Finding[]>;
  /**
   * Makes the repairs that findings of `audit` offer; each finding is checked again first.
   *
   * @returns what was repaired
   * @throws INVALID_VALUE for a choice that a finding does not have, before anything is changed
   */
  repair(findings: Finding | readonly Finding[], options?: RepairOptions): Promise<Finding[]>;
}
