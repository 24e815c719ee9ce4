import type { Backend, Context, Log } from "../../backend/contract.ts";
import type { Folders } from "../../settings/folders.ts";

/** What a caller may pass to a long call: a signal to cancel it, a function that hears its progress. */
export interface CallOptions extends Partial<Context> {
  /** Instances and snapshots that were found rather than named may be gone by their turn, and are passed over. */
  readonly gone?: "allowed";
}

export interface OpenStrataOptions {
  /**
   * The one engine to work with. By default it is the setting `local.driver`, and instances of the further
   * engines that the setting `local.plugins` names are found and listed as well.
   */
  readonly driver?: string;
  /** Overrides of settings of engines, such as `{ "local.libvirt.uri": "qemu:///session" }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Where settings, data, cache and state are; by default the XDG folders of the user. */
  readonly folders?: Partial<Folders>;
  readonly log?: Log;
  /** An engine that is open already, in the place of the plugin's own; it is closed with strata. */
  readonly backend?: Backend;
}

export type { Folders };
