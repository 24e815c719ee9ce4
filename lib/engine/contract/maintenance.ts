import type { Context, Lock } from "./call.ts";

/** Something wrong with what the engine keeps of strata's instances. */
export interface Finding {
  /** Stable word for the kind of it, such as "layer-missing". */
  readonly kind: string;
  /** Name of the instance; absent where it belongs to none. */
  readonly instance?: string;
  /** The one thing concerned: a snapshot's name, a file's absolute path. With the kind it is unique. */
  readonly subject: string;
  /** What was found, as a sentence without a full stop. */
  readonly detail: string;
  /** What `repair` would do; absent where nothing can be done without guessing. */
  readonly repair?: string;
  /** Repairs of which only the user can say which one is right. None is made unless it is asked for. */
  readonly choices?: readonly RepairChoice[];
}

/** One of several ways to repair a finding. */
export interface RepairChoice {
  /** What the user types, such as "record". "remove" is for the one that gives data up. */
  readonly name: string;
  /** What it would do, as a sentence without a full stop. */
  readonly detail: string;
}

export interface AuditOptions {
  /** Reads the contents too, as far as there is something to check in them. Takes minutes, not seconds. */
  readonly deep?: boolean;
}

/** Comparing the engine's records with each other and with what is there, and putting them right. */
export interface Maintenance {
  /** Everything that does not agree, but of what somebody is at work on. Changes and locks nothing. */
  audit(options?: AuditOptions, context?: Context): Promise<readonly Finding[]>;
  /**
   * Does what a finding's `repair` says, or the one of its `choices` that is named, held and only if another
   * look finds the same again; false where it does not. Never removes what the records do not prove to be
   * the engine's own and unneeded, unless the choice "remove" is named.
   */
  repair(finding: Finding, context: Context, choice?: string): Promise<boolean>;
  /**
   * Brings a whole instance back from the copies of its records that lie in its folder, an absolute path,
   * where the engine has no record of it; resolves to its name. Absent where the engine keeps no copies.
   */
  recover?(folder: string, context: Context): Promise<string>;
}

/**
 * What an engine keeps beside disk and snapshots so that many snapshots do not make reads slow. It holds
 * nothing that is not elsewhere: contents and snapshots are the same with it and without.
 */
export interface ReadImages {
  /** Makes reads of a stopped instance as fast as they get, whatever has to be copied. */
  build(lock: Lock, context: Context): Promise<void>;
  /** Bytes that it takes now. Takes no lock. */
  size(id: string): Promise<bigint>;
}
