import type { Firmware, Mount, Resources } from "../../engine/contract.ts";
import type { StrataError } from "../../errors.ts";

/** The states that users see, with the same spelling in every format. */
export type InstanceState =
  | "Running"
  | "Stopped"
  | "Starting"
  | "Restarting"
  | "Delayed Shutdown"
  | "Suspending"
  | "Suspended"
  | "Deleted"
  | "Moving"
  | "Unknown";

/** A summary of an instance. */
export interface InstanceSummary {
  /** Unique among the instances of its engine. */
  readonly name: string;
  /** Name of its engine. */
  readonly engine: string;
  /** The state when the engine was asked. */
  readonly state: InstanceState;
  /** IPv4 addresses, that of the default interface first; empty when not running. */
  readonly ipv4: readonly string[];
  /** Release as in the guest's image, such as "Debian 12"; "" if not known. */
  readonly release: string;
  /** Cluster member that it is on; absent without a cluster. */
  readonly member?: string;
}

/** Instances of all engines. */
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
  /** The error. */
  readonly error: StrataError;
}

/** How much of something is in use, bytes. */
export interface Usage {
  /** Bytes that are in use. */
  readonly used: bigint;
  /** Total bytes. */
  readonly total: bigint;
}

/** Everything about an instance. */
export interface InstanceInfo extends InstanceSummary {
  /** Of its engine: the UUID of its domain on libvirt. It stays the same for the life of the instance. */
  readonly id: string;
  /** Milliseconds since the epoch, UTC. */
  readonly createdAt: number;
  /** MAC addresses, the default interface's first; null unless `host` was asked for, or the engine cannot tell. */
  readonly macs: readonly string[] | null;
  /**
   * Bytes that its files take on its host, without what it shares with others; null unless `host` was asked for, or
   * the engine cannot tell.
   */
  readonly hostDisk: bigint | null;
  /** Whether the host starts it when it boots; null unless `host` was asked for, or the engine cannot tell. */
  readonly autostart: boolean | null;
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
  /** CPUs, memory and the virtual sizes of the disks as configured, sizes in bytes. `resize` changes them. */
  readonly resources: Resources;
  /**
   * Whether the guest answered questions about its load, disk and memory. Null if it was not asked, because
   * the instance does not run, strata cannot log in to it, or the caller did not want it.
   */
  readonly guestAnswered: boolean | null;
  /** Load averages. Empty or null, as the next two, unless the guest answered. */
  readonly load: readonly number[];
  /** The file system of the guest's root folder. */
  readonly disk: Usage | null;
  /** The guest's memory. */
  readonly memory: Usage | null;
  /** Its mounted folders of the host. */
  readonly mounts: readonly Mount[];
  /**
   * Bytes kept for fast reads, in addition to disk and snapshots; null if the engine keeps none or cannot
   * tell.
   */
  readonly readImageSize: bigint | null;
  /** What it boots with; null where the engine cannot tell. */
  readonly firmware: Firmware | null;
  /** Version of its TPM, such as "2.0"; null without one. */
  readonly tpm: string | null;
  /** Name of the snapshot where the next start resumes it, of a suspended instance that was restored so; else null. */
  readonly resumes: string | null;
}

/** An instance of the engine that strata did not create. */
export interface Candidate {
  /** Its name in the engine. */
  readonly name: string;
  /** Why it cannot be adopted; null if it can. */
  readonly obstacle: string | null;
}

/** An instance that was optimized for reads. */
export interface Optimized {
  /** Name of the instance. */
  readonly name: string;
  /** Bytes that its read image and keyframes take. */
  readonly size: bigint;
}
