import type { Mount, NicSpec } from "../../backend/contract.ts";
import type { StrataError } from "../../errors.ts";

/** The states a user sees, spelled the same in every format. */
export type InstanceState =
  | "Running"
  | "Stopped"
  | "Starting"
  | "Restarting"
  | "Delayed Shutdown"
  | "Suspending"
  | "Suspended"
  | "Deleted"
  | "Unknown";

export interface InstanceSummary {
  readonly name: string;
  /** Name of its engine. */
  readonly engine: string;
  readonly state: InstanceState;
  readonly ipv4: readonly string[];
  /** Release as the guest's image names it, such as "Debian 12"; "" when not known. */
  readonly release: string;
  /** Member of the cluster that it is on; absent where there is none. */
  readonly member?: string;
}

/** Instances side by side, whatever engine they are on. */
export interface Listing {
  /** The engines that were asked: the one in use, and the further ones of the configuration. */
  readonly engines: readonly string[];
  /** By name. */
  readonly instances: readonly InstanceSummary[];
  /** Engines whose instances are not in the list. */
  readonly failures: readonly EngineFailure[];
}

export interface EngineFailure {
  readonly engine: string;
  readonly error: StrataError;
}

export interface Usage {
  readonly used: bigint;
  readonly total: bigint;
}

export interface InstanceInfo extends InstanceSummary {
  readonly snapshotCount: number;
  readonly imageHash: string;
  readonly imageRelease: string;
  /** As configured, running or not. */
  readonly cpus: number;
  /** Empty or null where the instance is not running or its guest does not answer. */
  readonly load: readonly number[];
  readonly disk: Usage | null;
  readonly memory: Usage | null;
  readonly mounts: readonly Mount[];
  /** Bytes kept beside disk and snapshots for fast reads; null where the engine keeps none or cannot tell. */
  readonly readImageSize: bigint | null;
}

export interface LaunchOptions {
  /** `24.04`, `daily:noble`, `debian`, a hash prefix, `file://…`, `http(s)://…#sha256=HEX`. */
  readonly image: string;
  readonly name?: string;
  readonly cpus?: number;
  /** Bytes. */
  readonly memory?: bigint;
  /** Bytes. */
  readonly disk?: bigint;
  /** Folders of the host to mount; the target as in `MountPlace`. */
  readonly mounts?: readonly { readonly source: string; readonly target?: string }[];
  /** Text of the user's cloud-init user-data. */
  readonly userData?: string;
  /** Interfaces beside the default one; the network `bridged` is that of the setting. */
  readonly networks?: readonly NicSpec[];
  /** Member of the cluster to place it on, where the engine has one. */
  readonly member?: string;
  /** How long to wait for the guest, ms. */
  readonly timeout?: number;
}

/** At most one of `force`, `after` and `cancel`. */
export interface StopOptions {
  /** Cuts the power; of a suspended instance, drops the memory. */
  readonly force?: boolean;
  /** How long the guest may take, ms. */
  readonly timeout?: number;
  /** The guest is told to shut down by itself after so many ms, rounded up to minutes. */
  readonly after?: number;
  /** Calls such a shutdown off. */
  readonly cancel?: boolean;
}

export interface Candidate {
  readonly name: string;
  /** Why it cannot be adopted; null where it can. */
  readonly obstacle: string | null;
}

export interface NetworkInfo {
  readonly name: string;
  /** As the engine calls it, such as "nat" or "bridge". */
  readonly type: string;
  readonly description: string;
}

/** An instance whose reads are as fast as they get, and the bytes that takes. */
export interface Optimized {
  readonly name: string;
  readonly size: bigint;
}
