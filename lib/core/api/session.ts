import type { Engine, Log, Progress } from "../../engine/contract.ts";
import type { Folders } from "../../settings/folders.ts";

/** What every call takes that may last: how to cancel it, and who hears of it meanwhile. */
export interface CallOptions {
  /**
   * Cancels the call, which then rejects with CANCELLED. What it was doing is undone, or finished by the next
   * call on that instance, as after a crash.
   *
   * @default a signal that never fires
   */
  readonly signal?: AbortSignal;
  /**
   * Hears how far the call is; `done` and `total` are bytes.
   *
   * @default nothing is reported
   */
  progress?(step: Progress): void;
  /**
   * Hears, in a sentence for the user, what went another way than asked for without making the call fail.
   *
   * @default nothing is reported
   */
  warn?(message: string): void;
}

/** Options of calls on several instances or snapshots. */
export interface EachOptions extends CallOptions {
  /**
   * Passes over instances and snapshots that do not exist any more by their turn. For names that were listed
   * rather than typed by a user.
   *
   * @default false: the call rejects with INSTANCE_NOT_FOUND, INSTANCE_DELETED or SNAPSHOT_NOT_FOUND
   */
  readonly skipMissing?: boolean;
}

/** What `Strata.open` takes. */
export interface OpenStrataOptions {
  /**
   * The one engine to work with.
   *
   * @default the setting `local.driver`; instances of the further engines that the setting `local.plugins`
   * names are found and listed as well
   */
  readonly driver?: string;
  /**
   * Settings of engines, for this time only: `{ "local.libvirt.uri": "qemu:///session" }`.
   *
   * @default the user's settings
   */
  readonly settings?: Readonly<Record<string, string>>;
  /**
   * Where settings, data, cache and state are.
   *
   * @default the XDG folders of the user
   */
  readonly folders?: Partial<Folders>;
  /**
   * Hears what happens, for a log file.
   *
   * @default nothing is logged
   */
  readonly log?: Log;
  /**
   * An engine that is open already; it is closed with strata.
   *
   * @default the plugin of that name opens one
   */
  readonly engine?: Engine;
}

export type { Folders };
