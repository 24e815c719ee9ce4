import type { Context, Lock } from "./call.ts";

/** A network interface beyond the default one. */
export interface Nic {
  readonly network: string;
  readonly mac: string;
}

/** A further network interface that is wanted; without a MAC address the engine makes one up. */
export interface NicSpec {
  readonly network: string;
  readonly mac?: string;
  /** "auto", the default: the guest is told to ask for an address. "manual": it is told nothing. */
  readonly mode?: "auto" | "manual";
}

export interface Networks {
  list(): Promise<{ readonly name: string; readonly type: string; readonly description: string }[]>;
  /**
   * Adds an interface to a stopped instance. Present exactly when the feature
   * "network.attach" is declared.
   */
  attach?(lock: Lock, nic: NicSpec, context: Context): Promise<void>;
}
