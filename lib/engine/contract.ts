/**
 * The contract between strata's core and an engine (libvirt, LXD, memory, …).
 *
 * Units: sizes are bytes as bigint, times are milliseconds since the epoch (UTC) as number, durations
 * are milliseconds. Names are those the user sees; ids are opaque strings of the engine that stay the
 * same for the life of an instance. Every method rejects with an error that has
 * a code of strata's table and the details of that code (docs/errors.md), and maps its engine's own errors at its
 * edge, keeping them as `cause`.
 *
 * The engine is the only truth: whatever the core must remember of an instance or a snapshot is handed
 * to the engine as a record and kept by it beside the thing itself. The meaning of those records
 * (parents, names, counters) is the core's.
 */

import type { Adoption } from "./contract/adoption.ts";
import type { Autostart } from "./contract/autostart.ts";
import type { Cluster } from "./contract/cluster.ts";
import type { Consoles } from "./contract/console.ts";
import type { Disks } from "./contract/disks.ts";
import type { EngineInfo } from "./contract/engine.ts";
import type { EngineEvent } from "./contract/events.ts";
import type { GuestAccess } from "./contract/guest.ts";
import type { Instances } from "./contract/instances.ts";
import type { Maintenance, ReadImages } from "./contract/maintenance.ts";
import type { Mounts } from "./contract/mounts.ts";
import type { Networks } from "./contract/networks.ts";
import type { Portable } from "./contract/portable.ts";
import type { Snapshots } from "./contract/snapshots.ts";
import type { StorageUsage } from "./contract/storage.ts";

export type * from "./contract/adoption.ts";
export type * from "./contract/autostart.ts";
export type * from "./contract/call.ts";
export type * from "./contract/cluster.ts";
export type * from "./contract/console.ts";
export type * from "./contract/disks.ts";
export * from "./contract/engine.ts";
export type * from "./contract/events.ts";
export type * from "./contract/guest.ts";
export * from "./contract/instances.ts";
export type * from "./contract/maintenance.ts";
export type * from "./contract/mounts.ts";
export type * from "./contract/networks.ts";
export type * from "./contract/plugin.ts";
export type * from "./contract/portable.ts";
export * from "./contract/snapshots.ts";
export type * from "./contract/storage.ts";
export { mergeRecord, parseRecord, stringifyRecord } from "./records.ts";

export const API_VERSION = "3.2.0";

export interface Engine extends AsyncDisposable {
  info(): Promise<EngineInfo>;
  /** `engine` of `info`. Present where it is known much sooner than the rest, which takes looking at the host. */
  version?(): Promise<string>;
  /** Present where the engine can tell what its files take on this host. Takes no lock. */
  storage?(): Promise<StorageUsage>;
  readonly instances: Instances;
  readonly snapshots: Snapshots;
  readonly guest: GuestAccess;
  /** Present exactly when the feature "mount.native" or "mount.classic" is declared. */
  readonly mounts?: Mounts;
  /** Present exactly when the feature "disks" is declared. */
  readonly disks?: Disks;
  /** Present exactly when the feature "network.list" is declared. */
  readonly networks?: Networks;
  /** Present exactly when the feature "read-image" is declared. */
  readonly readImages?: ReadImages;
  /** Present exactly when the feature "autostart" is declared. */
  readonly autostart?: Autostart;
  /** Present exactly when the feature "cluster" is declared. */
  readonly cluster?: Cluster;
  /** Present exactly when the feature "adopt" is declared. */
  readonly adoption?: Adoption;
  /** Present exactly when the feature "portable" is declared. */
  readonly portable?: Portable;
  /** Present exactly when the feature "audit" is declared. */
  readonly maintenance?: Maintenance;
  /** Present exactly when the feature "console" or "console.log" is declared. */
  readonly console?: Consoles;
  /** Present exactly when the feature "events" is declared. */
  events?(signal: AbortSignal): AsyncIterable<EngineEvent>;
}
