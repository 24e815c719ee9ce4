import type {
  Backend,
  Check,
  Context,
  EngineInfo,
  ExecOptions,
  ExecSession,
  Finding,
  IdMap,
  Log,
  Mount,
  NicSpec,
  Resources,
} from "../backend/contract.ts";
import type { StrataError } from "../errors.ts";
import type { Alias, Aliases } from "../settings/aliases.ts";

export type { Alias, Aliases };

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

/** An instance, or one of its snapshots: `NAME` or `NAME.SNAPSHOT`. */
export interface Ref {
  readonly instance: string;
  readonly snapshot?: string;
}

/** What a caller may pass to a long call: a signal to cancel it, a function that hears its progress. */
export interface CallOptions extends Partial<Context> {
  /** Instances that were found rather than named may be gone by their turn, and are passed over. */
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

export interface Folders {
  readonly config: string;
  readonly data: string;
  readonly cache: string;
  readonly state: string;
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

export interface MountOptions {
  /** Default: native. */
  readonly type?: Mount["type"];
  /** One to one; by default the caller to the default user. */
  readonly uidMap?: readonly IdMap[];
  readonly gidMap?: readonly IdMap[];
}

/** A folder of an instance: absolute, or relative to the default user's home. */
export interface MountPlace {
  readonly instance: string;
  readonly target?: string;
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

/** An engine as `strata plugins` shows it. What is not known of it is empty. */
export interface PluginInfo {
  readonly name: string;
  /** "built-in", the name and version of its package, or what the configuration names. */
  readonly origin: string;
  /** Available: it ships with strata, and the configuration does not name it. */
  readonly state: "loaded" | "unavailable" | "refused" | "available";
  /** Why it is refused or unavailable. */
  readonly reason: string;
  readonly version: string;
  /** Version of the contract that it was made for. */
  readonly api: string;
  /** The engine behind it with its version. */
  readonly engine: string;
  readonly kind: EngineInfo["kind"] | "";
  readonly features: readonly string[];
  /** Why features are missing, by feature. */
  readonly missing: Readonly<Record<string, string>>;
  readonly checks: readonly Check[];
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

/** An instance whose reads are as fast as they get, and the bytes that takes. */
export interface Optimized {
  readonly name: string;
  readonly size: bigint;
}

export interface SnapshotInfo {
  readonly instance: string;
  readonly name: string;
  readonly comment: string;
  readonly parent: string | null;
  readonly children: readonly string[];
  /** Milliseconds since the epoch, UTC. */
  readonly createdAt: number;
  readonly cpus: number;
  readonly memory: bigint;
  readonly disk: bigint;
  readonly mounts: readonly Mount[];
  /** Bytes that this snapshot's layer alone holds; null where the engine cannot tell. */
  readonly size: bigint | null;
}

export interface SnapshotTreeInfo {
  readonly instance: string;
  /** In order of creation. */
  readonly snapshots: readonly SnapshotInfo[];
  /** The snapshot the instance stands on; null for none. */
  readonly standsOn: string | null;
}

export interface ImageInfo {
  readonly sha256: string;
  readonly os: string;
  readonly release: string;
  /** Names that launch it, such as "debian". */
  readonly aliases: readonly string[];
  /** Bytes of the file in the cache. */
  readonly size: bigint;
  readonly virtualSize: bigint;
  readonly createdAt: number;
  /** When it was last launched, or came. Milliseconds since the epoch. */
  readonly usedAt: number;
  /** Where it is from: a URL, a path, or what it was built of. */
  readonly source: string;
  /** Built here by a strata whose images of this kind are made of something else. */
  readonly outdated: boolean;
}

export interface FindOptions {
  /** `ALIAS`, the start of a hash, part of a name, `REMOTE:` or one of these behind it. */
  readonly text?: string;
  /** Those too that get no updates any more. */
  readonly unsupported?: boolean;
  /** Asks the remotes also where what they said lately is known. */
  readonly refresh?: boolean;
}

/** An image that can be launched by its name. */
export interface ImageOffer {
  /** Such as "24.04", "daily:25.10", "debian-cloud". */
  readonly name: string;
  readonly aliases: readonly string[];
  readonly os: string;
  /** Such as "24.04 LTS". */
  readonly release: string;
  /** "" for the default remote and for what was built here. */
  readonly remote: string;
  /** Such as "20260821". */
  readonly version: string;
}

export interface ImageOffers {
  readonly images: readonly ImageOffer[];
  /** Why some remotes could not be asked, or only answered from what is kept. */
  readonly errors: readonly string[];
}

/** A path of this host. */
export interface HostPath {
  readonly path: string;
}

/** A path in an instance; a relative one is below the default user's home. */
export interface GuestPath extends HostPath {
  readonly instance: string;
}

export type TransferSource = HostPath | GuestPath | { readonly stream: AsyncIterable<Uint8Array> };
export type TransferTarget = HostPath | GuestPath | { readonly stream: NodeJS.WritableStream };

/** Something that happened; `at` in ms. In the JSON of the command line `kind` is `event`, `at` is `time`. */
export type StrataEvent = { readonly at: number } & (
  | {
      /** From here on nothing is missed; what a gap held follows at once, as far as it still shows. */
      readonly kind: "resync";
    }
  | { readonly kind: "create" | "delete" | "recover" | "purge"; readonly instance: string }
  | { readonly kind: "state"; readonly instance: string; readonly state: InstanceState }
  | ({ readonly kind: "resize"; readonly instance: string } & Resources)
  | {
      readonly kind: "snapshot" | "restore" | "snapshot-delete";
      readonly instance: string;
      readonly snapshot: string;
    }
  | {
      readonly kind: "snapshot-rename";
      readonly instance: string;
      readonly snapshot: string;
      readonly from: string;
    }
);

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
  audit(): Promise<Finding[]>;
  /** Does what the findings of `audit` offer, each after another look; resolves to what was repaired. */
  repair(findings: readonly Finding[], call?: CallOptions): Promise<Finding[]>;
}
