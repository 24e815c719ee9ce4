import type { Mount, Resources } from "../../engine/contract.ts";
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

/** An instance in a line. */
export interface InstanceSummary {
  /** Unique among the instances of its engine. */
  readonly name: string;
  /** Name of its engine. */
  readonly engine: string;
  /** As it was when the engine was asked. */
  readonly state: InstanceState;
  /** IPv4 addresses, that of the default interface first; empty when not running. */
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

/** Why an engine of the configuration did not answer. */
export interface EngineFailure {
  /** Name of the engine. */
  readonly engine: string;
  /** What it failed with. */
  readonly error: StrataError;
}

/** How much of something is in use, bytes. */
export interface Usage {
  /** Bytes that are in use. */
  readonly used: bigint;
  /** Bytes that there are. */
  readonly total: bigint;
}

/** Everything about an instance. */
export interface InstanceInfo extends InstanceSummary {
  /** How many snapshots it has. */
  readonly snapshotCount: number;
  /** SHA-256 of the image it was launched from, in hexadecimal. */
  readonly imageHash: string;
  /** Operating system of that image, such as "Debian"; "" when not known. */
  readonly imageOs: string;
  /** Release of that image without the operating system, such as "12"; "" when not known. */
  readonly imageRelease: string;
  /** As configured, running or not. */
  readonly cpus: number;
  /** CPUs, memory and the virtual size of the disk as configured, sizes in bytes. `resize` changes them. */
  readonly resources: Resources;
  /**
   * Whether the guest answered what only it knows: load, disk and memory. Null where it was not asked, since the
   * instance does not run, strata cannot log in to it, or the caller did not want it.
   */
  readonly guestAnswered: boolean | null;
  /** Load averages. Empty or null, as the next two, unless the guest answered. */
  readonly load: readonly number[];
  /** The file system of the guest's root folder. */
  readonly disk: Usage | null;
  /** The guest's memory. */
  readonly memory: Usage | null;
  /** Folders of the host in it. */
  readonly mounts: readonly Mount[];
  /** Bytes kept beside disk and snapshots for fast reads; null where the engine keeps none or cannot tell. */
  readonly readImageSize: bigint | null;
}

/** What the engine has and strata did not make. */
export interface Candidate {
  /** As the engine calls it. */
  readonly name: string;
  /** Why it cannot be adopted; null where it can. */
  readonly obstacle: string | null;
}

/** An instance whose reads are as fast as they get. */
export interface Optimized {
  /** Name of the instance. */
  readonly name: string;
  /** Bytes that it takes. */
  readonly size: bigint;
}
