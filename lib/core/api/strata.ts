import type { StrataAliases } from "./aliases.ts";
import type { StrataDisks } from "./disks.ts";
import type { StrataEngine, StrataPlugins } from "./engine.ts";
import type { EventsOptions, StrataEvent } from "./events.ts";
import type { StrataGuest } from "./guest.ts";
import type { StrataImages } from "./images.ts";
import type { DeleteOptions, StrataInstances } from "./instances.ts";
import type { StrataMaintenance } from "./maintenance.ts";
import type { StrataMounts } from "./mounts.ts";
import type { StrataNetworks } from "./networks.ts";
import type { StrataSettings } from "./settings.ts";
import type { AnyRef, Ref, StrataSnapshots } from "./snapshots.ts";
import type { StrataSsh } from "./ssh.ts";

export type * from "../../images/image-info.ts";
export type * from "./aliases.ts";
export type * from "./disk-usage.ts";
export type * from "./disks.ts";
export type * from "./engine.ts";
export type * from "./events.ts";
export type * from "./guest.ts";
export type * from "./images.ts";
export type * from "./instance-info.ts";
export type * from "./instances.ts";
export type * from "./maintenance.ts";
export type * from "./mounts.ts";
export type * from "./networks.ts";
export type * from "./session.ts";
export type * from "./settings.ts";
export type * from "./snapshots.ts";
export type * from "./ssh.ts";

/**
 * The use cases of strata, by noun; `Strata.open` gives one. Dispose of it to close the connection.
 *
 * Sizes are bytes as `bigint`, durations and times (since the epoch, UTC) milliseconds. Every call rejects with
 * a `StrataError`; beside the codes that its description names there are those of any call: ENGINE_UNAVAILABLE,
 * ENGINE_LOST, ENGINE_ERROR, PERMISSION_DENIED, BUSY where another operation holds the instance for 2 minutes,
 * and CANCELLED. `JSON.stringify` takes every answer: sizes become numbers, or above 2^53 - 1 decimal strings.
 */
export interface Strata extends AsyncDisposable {
  /** Instances, from their launch to their end. */
  readonly instances: StrataInstances;
  /** Snapshots of instances. */
  readonly snapshots: StrataSnapshots;
  /** Disks of instances: the system disk and those beside it. */
  readonly disks: StrataDisks;
  /** The inside of instances: commands, shells, files. */
  readonly guest: StrataGuest;
  /** Logins to instances for ssh and what is built on it, and ports that are reached through it. */
  readonly ssh: StrataSsh;
  /** Folders of this host in instances. */
  readonly mounts: StrataMounts;
  /** Networks that instances can be on. */
  readonly networks: StrataNetworks;
  /** Images that instances are launched from. */
  readonly images: StrataImages;
  /** Commands of instances under names of the client. */
  readonly aliases: StrataAliases;
  /** Settings by their keys. */
  readonly settings: StrataSettings;
  /** The engine in use. */
  readonly engine: StrataEngine;
  /** Packages that bring an engine. */
  readonly plugins: StrataPlugins;
  /** Checking this host and what the engine keeps, and putting it right. */
  readonly maintenance: StrataMaintenance;

  /**
   * The instance or snapshot that a text names. Where an instance has the whole text as its name, it is meant;
   * otherwise a snapshot is what follows the last dot. Neither has to exist.
   *
   * @throws INVALID_NAME
   */
  resolve(text: string): Promise<Ref>;
  /**
   * Deletes instances and snapshots in one request, as `instances.delete` and `snapshots.delete` do: all refs
   * are looked up before anything is changed.
   *
   * @throws INSTANCE_NOT_FOUND, SNAPSHOT_NOT_FOUND, INSTANCE_DELETED, INVALID_NAME
   */
  delete(refs: AnyRef | readonly AnyRef[], options?: DeleteOptions): Promise<void>;
  /**
   * Rejects as `delete` would, as far as that can be told beforehand: for a question before it.
   *
   * @throws INSTANCE_NOT_FOUND, SNAPSHOT_NOT_FOUND, INSTANCE_DELETED, INVALID_NAME
   */
  checkDelete(refs: AnyRef | readonly AnyRef[], options?: DeleteOptions): Promise<void>;
  /**
   * What happens from now on, by any client, until the signal or until the loop is left.
   *
   * @throws UNSUPPORTED, at the first step
   */
  events(options?: EventsOptions): AsyncIterable<StrataEvent>;
}
