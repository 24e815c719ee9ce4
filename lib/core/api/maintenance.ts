import type { Check, Finding } from "../../engine/contract.ts";
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
   * The one of the findings' `choices` to make.
   *
   * @default what each finding offers as `repair`, which never gives data up
   */
  readonly choice?: string;
}

/** Checking this host and what the engine keeps, and putting it right. */
export interface StrataMaintenance {
  /** Checks of host and engine; never rejects. */
  doctor(): Promise<Check[]>;
  /** What does not agree in the records and files of instances. Changes nothing. */
  audit(options?: AuditOptions): Promise<Finding[]>;
  /**
   * Does what findings of `audit` offer, each after another look.
   *
   * @returns what was repaired
   * @throws INVALID_VALUE for a choice that a finding does not have, before anything is changed
   */
  repair(findings: Finding | readonly Finding[], options?: RepairOptions): Promise<Finding[]>;
}
