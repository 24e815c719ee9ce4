import type { Engine, Log, Progress } from "../../engine/contract.ts";
import type { Folders } from "../../settings/folders.ts";

/** Options of every call that may take long: cancellation and reports. */
export interface CallOptions {
  /**
   * Cancels the call, which then rejects with CANCELLED. Its changes are undone, or finished by the next call
   * on that instance, as after a crash.
   *
   * @default a signal that never fires
   */
  readonly signal?: AbortSignal;
  /**
   * Gets the progress of the call; `done` and `total` are bytes. A call about several things says which by `item`.
   *
   * @default nothing is reported
   */
  progress?(step: Progress): void;
  /**
   * Gets warnings, in a sentence for the user, about what did not go as requested without making the call
   * fail.
   *
   * @default nothing is reported
   */
  warn?(message: string): void;
}

/** Options of calls on several instances or snapshots. */
export interface EachOptions extends CallOptions {
  /**
   * Skips instances and snapshots that no longer exist by their turn. For names that were listed and not
   * typed by a user.
   *
   * @default false: the call rejects with INSTANCE_NOT_FOUND, INSTANCE_DELETED or SNAPSHOT_NOT_FOUND
   */
  readonly skipMissing?: boolean;
}

/** Options of `Strata.open`. */
export interface OpenStrataOptions {
  /**
   * The only engine to use.
   *
   * @default the setting `local.driver`; instances of the further engines that the setting `local.plugins`
   * names are found and listed as well
   */
  readonly driver?: string;
  /**
   * Settings of engines for this session only: `{ "local.libvirt.uri": "qemu:///session" }`.
   *
   * @default the user's settings
   */
  readonly settings?: Readonly<Record<string, string>>;
  /**
   * Folders for settings, data, cache and state.
   *
   * @default the XDG folders of the user
   */
  readonly folders?: Partial<Folders>;
  /**
   * Gets log messages, for a log file.
   *
   * @default nothing is logged
   */
  readonly log?: Log;
  /**
   * An open engine; it is closed with strata.
   *
   * @default the plugin of that name opens one
   */
  readonly engine?: Engine;
}

export type { Folders };
