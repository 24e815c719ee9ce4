import type {
  AuditOptions,
  Check,
  EngineInfo,
  ExecOptions,
  ExecSession,
  Finding,
} from "../../backend/contract.ts";
import type { FindOptions, ImageInfo, ImageOffers } from "../../images/image-info.ts";
import type { Alias, Aliases } from "../../settings/aliases.ts";
import type { StrataEvent } from "./events.ts";
import type {
  Candidate,
  InstanceInfo,
  InstanceSummary,
  LaunchOptions,
  Listing,
  NetworkInfo,
  Optimized,
  StopOptions,
} from "./instances.ts";
import type { MountOptions, MountPlace } from "./mounts.ts";
import type { PluginInfo } from "./plugins.ts";
import type { CallOptions } from "./session.ts";
import type { Ref, SnapshotTreeInfo } from "./snapshots.ts";
import type { TransferSource, TransferTarget } from "./transfer.ts";

export type * from "../../images/image-info.ts";
export type * from "./events.ts";
export type * from "./instances.ts";
export type * from "./mounts.ts";
export type * from "./plugins.ts";
export type * from "./session.ts";
export type * from "./snapshots.ts";
export type * from "./transfer.ts";
export type { Alias, Aliases };

/** The use cases of strata; `openStrata` gives one. Dispose of it to close the connection. */
export interface Strata extends AsyncDisposable {
  engine(): Promise<EngineInfo>;
  /** Waits until the engine answers, up to `timeout` ms (for ever without one). */
  waitReady(options?: { timeout?: number }, call?: CallOptions): Promise<EngineInfo>;
  /** Every engine that there is, loaded or refused; never rejects. */
  plugins(): Promise<PluginInfo[]>;

  /** Creates, starts and waits. Nothing is left of a launch that fails before the guest was started. */
  launch(options: LaunchOptions, call?: CallOptions): Promise<{ readonly name: string }>;
  /** By name. Where there are several engines, one that fails is left out; `listing` tells of it. */
  list(): Promise<InstanceSummary[]>;
  listing(): Promise<Listing>;
  /** By name; without names, all. Unknown names reject before anything is read from guests. */
  info(names?: readonly string[]): Promise<InstanceInfo[]>;
  start(names: readonly string[], options?: { timeout?: number }, call?: CallOptions): Promise<void>;
  stop(names: readonly string[], options?: StopOptions, call?: CallOptions): Promise<void>;
  /** Keeps the memory of running instances and stops them; `start` resumes. Calls a delayed shutdown off. */
  suspend(names: readonly string[], call?: CallOptions): Promise<void>;
  /** Moves a stopped instance with its snapshots to another member of the cluster. */
  move(name: string, member: string, call?: CallOptions): Promise<void>;
  /** Copies a stopped instance as it stands, without its snapshots; by default to `NAME-cloneN`. */
  clone(name: string, options?: { name?: string }, call?: CallOptions): Promise<{ readonly name: string }>;
  /** What could be adopted, and why what could not cannot; by name. */
  candidates(): Promise<Candidate[]>;
  /** Takes an instance over that the engine has and strata did not make; its disk stays where it is. */
  adopt(name: string, options?: { username?: string }, call?: CallOptions): Promise<void>;
  /** Lets a stopped adopted instance without snapshots go, with all that it holds on its own disk. */
  release(name: string, call?: CallOptions): Promise<void>;
  restart(names: readonly string[], options?: { timeout?: number }, call?: CallOptions): Promise<void>;
  /** Brings the layers of stopped instances together, so that reads do not get slower with snapshots. */
  optimize(names: readonly string[], call?: CallOptions): Promise<Optimized[]>;
  /**
   * Runs argv as the default user; needs a running instance. Without `cwd`, it runs where `hostFolder`, an
   * absolute path of the host, is seen inside by a mount, if it is.
   */
  exec(
    name: string,
    argv: readonly string[],
    options?: ExecOptions & { readonly hostFolder?: string },
  ): Promise<ExecSession>;
  /** The login shell of the default user on a terminal; starts the instance if it is stopped. */
  shell(name: string, options: Required<Pick<ExecOptions, "tty">>, call?: CallOptions): Promise<ExecSession>;

  /**
   * Copies files between this host and instances, or between instances; at least one end is an instance.
   * Into a target that is a folder, under the source's name; several sources need that. Permissions and
   * times (to the second) are kept. A file has its name when it is whole, or not at all.
   */
  transfer(
    sources: readonly TransferSource[],
    target: TransferTarget,
    options?: { recursive?: boolean; parents?: boolean },
    call?: CallOptions,
  ): Promise<void>;

  /**
   * Mounts a folder of the host, at once in running instances and at every start; without a target under
   * the folder's name in the user's home. All is checked before anything is changed.
   */
  mount(
    source: string,
    places: readonly MountPlace[],
    options?: MountOptions,
    call?: CallOptions,
  ): Promise<void>;
  /** Takes mounts away; all of an instance where no target is named. */
  umount(places: readonly MountPlace[], call?: CallOptions): Promise<void>;

  /** Trees of the named instances (all when none is named), by instance name. */
  snapshots(names?: readonly string[]): Promise<SnapshotTreeInfo[]>;
  snapshot(
    instance: string,
    options?: { name?: string; comment?: string },
    call?: CallOptions,
  ): Promise<Required<Ref>>;
  /** With `saveFirst`, takes a snapshot of the present state under the same hold, and returns its name. */
  restore(
    ref: Required<Ref>,
    options?: { saveFirst?: boolean },
    call?: CallOptions,
  ): Promise<{ readonly saved: string | null }>;

  /** Instances become Deleted (gone for good with `purge`), snapshots are gone at once. All refs are checked first. */
  remove(refs: readonly Ref[], options?: { purge?: boolean }, call?: CallOptions): Promise<void>;
  recover(names: readonly string[], call?: CallOptions): Promise<void>;
  /** Brings an instance back from its folder on this host, on an engine that has no record of it. */
  recoverFrom(folder: string, call?: CallOptions): Promise<{ readonly name: string }>;
  /** Removes every deleted instance for good; returns their names. */
  purge(call?: CallOptions): Promise<string[]>;

  aliases(): Promise<Aliases>;
  /** Adds an alias to the active context; the instance has to exist. */
  alias(name: string, alias: Alias): Promise<void>;
  /** Removes aliases, `ALIAS` of the active context or `CONTEXT.ALIAS`: all or none. */
  unalias(names: readonly string[]): Promise<void>;
  /** Makes a context the active one. */
  prefer(context: string): Promise<void>;

  /** What happens from now on, by any client, until the signal. */
  events(signal: AbortSignal): AsyncIterable<StrataEvent>;
  /** Networks that instances can be on, by name. */
  networks(): Promise<NetworkInfo[]>;

  /** Keys that exist now, sorted. */
  settingKeys(): Promise<string[]>;
  get(key: string): Promise<string>;
  set(key: string, value: string): Promise<void>;

  /** What can be launched by name. */
  find(options?: FindOptions, call?: CallOptions): Promise<ImageOffers>;
  /** The images on this host, newest first. */
  images(): Promise<ImageInfo[]>;
  /**
   * Removes images by alias or the start of a hash from the cache, and from engines of the configuration
   * that were given them; all are looked up first.
   */
  removeImages(names: readonly string[], call?: CallOptions): Promise<ImageInfo[]>;
  buildImage(
    options: { distribution: "debian"; variant: "micro" | "cloud" | "container" },
    call?: CallOptions,
  ): Promise<ImageInfo>;

  /** Checks of host and engine; never rejects. */
  doctor(): Promise<Check[]>;
  /** What does not agree in the records and files of instances. Changes nothing. */
  audit(options?: AuditOptions, call?: CallOptions): Promise<Finding[]>;
  /**
   * Does what the findings of `audit` offer, each after another look; resolves to what was repaired. With
   * `choice`, the one of their `choices` that has this name. What gives data up is never done without it.
   */
  repair(findings: readonly Finding[], options?: { choice?: string }, call?: CallOptions): Promise<Finding[]>;
}
