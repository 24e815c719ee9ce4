/**
 * The contract between strata's core and an engine (libvirt, LXD, memory, …).
 *
 * Units: sizes are bytes as bigint, times are milliseconds since the epoch (UTC) as number, durations
 * are milliseconds. Names are those the user sees; ids are opaque strings of the engine that stay the
 * same for the life of an instance. Every method rejects with a `StrataError` (see `lib/errors.ts`) and
 * maps its engine's own errors at its edge, keeping them as `cause`.
 *
 * The engine is the only truth: whatever the core must remember of an instance or a snapshot is handed
 * to the engine as a record and kept by it beside the thing itself. The meaning of those records
 * (parents, names, counters) is the core's.
 */

export const API_VERSION = "1.0.0";

/** Feature names. The set is open: unknown names are ignored, so that adding one breaks nobody. */
export type Feature =
  | "snapshot.stopped"
  | "snapshot.running"
  | "mount.native"
  | "mount.classic"
  | "mount.hotplug"
  | "mount.idmap"
  | "disk.grow"
  | "suspend"
  | "clone"
  | "adopt"
  | "network.list"
  | "network.attach"
  | "events"
  | "audit"
  | "read-image"
  | "cluster"
  | (string & {});

export interface EngineInfo {
  /** The plugin's name, as in the setting `local.driver`. */
  readonly name: string;
  /** The plugin's version. */
  readonly version: string;
  /** The engine behind it with its version, such as "libvirt 9.0.0, QEMU 7.2.22". */
  readonly engine: string;
  readonly kind: "vm" | "container" | "fake";
  /** Probed on this host, never assumed from a version. */
  readonly features: ReadonlySet<Feature>;
  /** Why a feature is absent, by feature name, where there is more to say than "not supported". */
  readonly missing: ReadonlyMap<Feature, string>;
  /** Formats that `create` takes for its image, such as "qcow2". */
  readonly imageFormats: readonly string[];
}

/** What a long call gets from its caller. */
export interface Context {
  readonly signal: AbortSignal;
  progress(step: Progress): void;
  /** Hears what went another way than asked for without making the call fail; a sentence for the user. */
  warn?(message: string): void;
}

export interface Progress {
  /** A short phrase in the progressive: "Downloading image". */
  readonly phase: string;
  readonly done?: bigint;
  readonly total?: bigint;
}

/** One finding of a check of the host. */
export interface Check {
  readonly what: string;
  readonly ok: boolean;
  /** What was found: a version, a path, the reason of a failure. */
  readonly detail: string;
  /** What to do about it, where it is not ok. */
  readonly fix?: string;
}

/** Something wrong with what the engine keeps of strata's instances. */
export interface Finding {
  /** Stable word for the kind of it, such as "layer-missing". */
  readonly kind: string;
  /** Name of the instance; absent where it belongs to none. */
  readonly instance?: string;
  /** The one thing concerned: a snapshot's name, a file's absolute path. With the kind it is unique. */
  readonly subject: string;
  /** What was found, as a sentence without a full stop. */
  readonly detail: string;
  /** What `repair` would do; absent where nothing can be done without guessing. */
  readonly repair?: string;
}

export type EngineState =
  | "stopped"
  | "starting"
  | "running"
  | "restarting"
  | "stopping"
  | "suspending"
  | "suspended"
  | "unknown";

export interface Resources {
  readonly cpus: number;
  readonly memory: bigint;
  readonly disk: bigint;
}

export interface IdMap {
  readonly host: number;
  readonly guest: number;
}

export interface Mount {
  /** Absolute path of the host. */
  readonly source: string;
  /** Absolute path in the guest, or one relative to the default user's home. Unique in an instance. */
  readonly target: string;
  readonly type: "native" | "classic";
  readonly uidMap: readonly IdMap[];
  readonly gidMap: readonly IdMap[];
}

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

/** What the core keeps with an instance. Unknown to the engine's own meaning; kept as it is. */
export interface InstanceRecord {
  /** Version of this record's shape; see `RECORD_VERSION`. */
  readonly version: number;
  readonly image: { readonly sha256: string; readonly release: string; readonly os: string };
  /** The user that commands run as in the guest; "" where strata cannot log in to it. */
  readonly username: string;
  readonly deleted: boolean;
  /** Snapshots ever taken, deleted ones included. Survives restore. */
  readonly snapshotsTaken: number;
  readonly cloudInstanceId: string;
  readonly createdAt: number;
  /** The guest's ssh host key as pinned at first contact, `type base64`. */
  readonly hostKey?: string;
  /** When the guest shuts down by itself, as it was told to; 0 or absent where it was not. */
  readonly shutdownAt?: number;
  /** When the instance was last restored; absent for never. Survives restore. */
  readonly restoredAt?: number;
}

export const RECORD_VERSION = 1;

export interface Instance {
  readonly id: string;
  readonly name: string;
  readonly state: EngineState;
  readonly resources: Resources;
  readonly mounts: readonly Mount[];
  readonly nics: readonly Nic[];
  readonly record: InstanceRecord;
  /** IPv4 addresses, the default interface's first. Empty when not running. */
  readonly addresses: readonly string[];
  readonly snapshotCount: number;
  /** Member of the cluster that it is on; absent where there is no cluster. */
  readonly member?: string;
}

/** What a list of instances shows of each. */
export type InstanceOutline = Pick<Instance, "id" | "name" | "state" | "record" | "addresses" | "member">;

/** What a snapshot records beside the disk's contents. */
export interface SnapshotRecord {
  readonly name: string;
  readonly comment: string;
  /** Name of the snapshot last taken or restored before this one was taken; null for none. */
  readonly parent: string | null;
  readonly resources: Resources;
  readonly mounts: readonly Mount[];
  readonly nics: readonly Nic[];
  readonly cloudInstanceId: string;
  readonly createdAt: number;
}

export interface Snapshot extends SnapshotRecord {
  /** Bytes that this snapshot's layer alone holds; null where the engine cannot tell. */
  readonly size: bigint | null;
}

export interface SnapshotTree {
  /** In order of creation. */
  readonly snapshots: readonly Snapshot[];
  /** The snapshot that the instance's disk stands on (last taken or restored); null for none. */
  readonly standsOn: string | null;
}

/** The least of a tree: what taking the next snapshot needs, at a cost that does not grow with the tree. */
export interface SnapshotOutline {
  /** In no particular order. */
  readonly names: readonly string[];
  readonly standsOn: string | null;
}

/** What a deletion does to the records, worked out by the core (`lib/snapshots/plan.ts`). */
export interface Removal {
  readonly name: string;
  /** What the children and, if it stood on the snapshot, the instance get as their parent. */
  readonly parent: string | null;
  readonly children: readonly string[];
}

/** A local, verified, self-contained disk image. */
export interface ImageSource {
  readonly path: string;
  readonly format: string;
  readonly sha256: string;
  /** Virtual size in bytes: the least a disk made from it can have. */
  readonly virtualSize: bigint;
}

/** cloud-init data for a NoCloud seed, or whatever the engine has in its place. */
export interface Seed {
  readonly metaData: string;
  readonly userData: string;
  readonly vendorData: string;
}

export interface InstanceSpec {
  readonly name: string;
  readonly image: ImageSource;
  readonly resources: Resources;
  readonly mounts: readonly Mount[];
  readonly networks: readonly NicSpec[];
  readonly seed: Seed;
  readonly record: InstanceRecord;
  /** Member of the cluster to place it on; only where the feature "cluster" is declared. */
  readonly member?: string;
}

/** What a clone has of its own; everything else is as the original has it. */
export interface CloneSpec {
  readonly name: string;
  readonly seed: Seed;
  readonly record: InstanceRecord;
}

/** The one export (default) of a plugin's module. Importing it has no side effect. */
export interface BackendPlugin {
  readonly apiVersion: string;
  readonly name: string;
  readonly description: string;
  /** Settings of this engine; the user sees each as `local.ENGINE.KEY`. */
  readonly settings: readonly EngineSetting[];
  /** Explains what is missing on this host. Never throws. */
  check(options: OpenOptions): Promise<Check[]>;
  open(options: OpenOptions): Promise<Backend>;
}

export interface EngineSetting {
  readonly key: string;
  readonly default: string;
  readonly description: string;
  /** Says why a value is refused; undefined when it is right. */
  validate(value: string): string | undefined;
}

export interface OpenOptions {
  /** The engine's settings, defaults filled in. */
  readonly settings: Readonly<Record<string, string>>;
  /** Where an engine without a place of its own may keep data of this user. */
  readonly dataFolder: string;
  readonly log: Log;
}

export interface Log {
  error(message: string, details?: object): void;
  warn(message: string, details?: object): void;
  info(message: string, details?: object): void;
  debug(message: string, details?: object): void;
}

/**
 * Holding an instance keeps every other operation on it out, in any process and of any user, until
 * released or until the holder dies. Taking hold also finishes or undoes what an operation that died
 * has left half done.
 */
export interface Hold extends AsyncDisposable {
  readonly id: string;
}

export interface Backend extends AsyncDisposable {
  info(): Promise<EngineInfo>;
  readonly instances: Instances;
  readonly snapshots: Snapshots;
  readonly guest: GuestAccess;
  /** Present exactly when the feature "mount.native" or "mount.classic" is declared. */
  readonly mounts?: Mounts;
  /** Present exactly when the feature "network.list" is declared. */
  readonly networks?: Networks;
  /** Present exactly when the feature "read-image" is declared. */
  readonly readImages?: ReadImages;
  /** Present exactly when the feature "cluster" is declared. */
  readonly cluster?: Cluster;
  /** Present exactly when the feature "adopt" is declared. */
  readonly adoption?: Adoption;
  /** Present exactly when the feature "audit" is declared. */
  readonly maintenance?: Maintenance;
  /** Present exactly when the feature "events" is declared. */
  events?(signal: AbortSignal): AsyncIterable<EngineEvent>;
}

export interface Instances {
  /** All instances of strata, deleted ones included, in no particular order. Takes no hold. */
  list(): Promise<Instance[]>;
  /**
   * Present where the engine can tell the outlines of all much sooner than it can list them; who needs
   * no more falls back on `list`. Takes no hold.
   */
  outline?(): Promise<InstanceOutline[]>;
  /** The instance of that name, or null. Takes no hold. */
  find(name: string): Promise<Instance | null>;
  /** Waits up to `wait` ms for a hold; rejects with BUSY after it, INSTANCE_NOT_FOUND if it is gone. */
  hold(id: string, options: { wait: number }, context: Context): Promise<Hold>;
  /** All or nothing; the instance is left stopped. Rejects with INSTANCE_EXISTS for a taken name. */
  create(spec: InstanceSpec, context: Context): Promise<Instance>;

  // All below need a hold on the instance. Verbs are idempotent: already there is success.
  start(id: string, context: Context): Promise<void>;
  /** Asks the guest to shut down and waits `grace` ms (TIMEOUT after it); "force" cuts the power. */
  stop(id: string, options: { grace: number } | "force", context: Context): Promise<void>;
  /** Present exactly when the feature "suspend" is declared. */
  suspend?(id: string, context: Context): Promise<void>;
  /**
   * Present exactly when the feature "clone" is declared. A full, independent copy of a stopped instance
   * as it stands, without its snapshots, with addresses of its own. All or nothing; the copy is stopped.
   */
  clone?(id: string, copy: CloneSpec, context: Context): Promise<Instance>;
  /** Applies all or none, on a stopped instance. The disk only grows. */
  resize(id: string, change: Partial<Resources>, context: Context): Promise<void>;
  /** Merges into the record that the engine keeps. `undefined` members are left alone. */
  annotate(id: string, change: Partial<InstanceRecord>): Promise<void>;
  /** Removes instance, snapshots and layers for good, running or not. */
  remove(id: string, context: Context): Promise<void>;
}

/** Needs a hold on the instance for all but `tree` and `outline`. */
export interface Snapshots {
  tree(id: string): Promise<SnapshotTree>;
  outline(id: string): Promise<SnapshotOutline>;
  /** Durable on return. Sets the record's `snapshotsTaken` to `taken` in the same stroke. */
  capture(id: string, record: SnapshotRecord, taken: number, context: Context): Promise<void>;
  /** Brings back all that the snapshot records; all or nothing. The instance then stands on it. */
  revert(id: string, name: string, context: Context): Promise<void>;
  /** Contents of every other snapshot and of the instance stay as they are, bit for bit. */
  drop(id: string, removal: Removal, context: Context): Promise<void>;
  /** Changes name and comment; children follow a renamed parent. */
  amend(
    id: string,
    name: string,
    change: { name?: string; comment?: string },
    context: Context,
  ): Promise<void>;
}

/** Folders of the host inside an instance. All need a hold but `inside`. */
export interface Mounts {
  /**
   * Records the mount and, on a running instance with the feature "mount.hotplug", makes it available at
   * once: "applied". Otherwise it takes effect at the next start: "restart". All or nothing.
   */
  attach(id: string, mount: Mount, context: Context): Promise<"applied" | "restart">;
  /** Idempotent: a target that is not mounted is success. */
  detach(id: string, target: string, context: Context): Promise<"applied" | "restart">;
  /** What the core has to mount in the running guest; empty where the engine does all by itself. */
  inside(id: string): Promise<readonly GuestMount[]>;
}

/** What `mount -t FILESYSTEM -o OPTIONS SOURCE TARGET` takes, run as root in the guest. */
export interface GuestMount {
  readonly target: string;
  readonly filesystem: string;
  readonly source: string;
  /** Comma-separated; "" for none. */
  readonly options: string;
}

/**
 * What an engine keeps beside disk and snapshots so that many snapshots do not make reads slow. It holds
 * nothing that is not elsewhere: contents and snapshots are the same with it and without.
 */
export interface ReadImages {
  /** Makes reads of a stopped instance as fast as they get, whatever has to be copied. Needs a hold. */
  build(id: string, context: Context): Promise<void>;
  /** Bytes that it takes now. Takes no hold. */
  size(id: string): Promise<bigint>;
}

/** Several hosts behind one engine. */
export interface Cluster {
  members(): Promise<readonly ClusterMember[]>;
  /** Moves a stopped instance with its snapshots. Needs a hold. */
  move(id: string, member: string, context: Context): Promise<void>;
}

export interface ClusterMember {
  readonly name: string;
  readonly online: boolean;
  readonly detail: string;
}

/** Bringing in what was made without strata, and letting it go again; disks and definition stay. */
export interface Adoption {
  /** What could be adopted, and why what could not cannot. */
  candidates(): Promise<readonly { readonly name: string; readonly obstacle: string | null }[]>;
  /** Rejects with INSTANCE_NOT_FOUND, INSTANCE_EXISTS (ours already) or UNSUPPORTED with the reason. */
  adopt(name: string, record: InstanceRecord, context: Context): Promise<Instance>;
  /** Makes it foreign again. Refused while it has snapshots. Needs a hold. */
  release(id: string, context: Context): Promise<void>;
}

/** Comparing the engine's records with each other and with what is there, and putting them right. */
export interface Maintenance {
  /** Everything that does not agree, but of what somebody is at work on. Changes nothing. */
  audit(): Promise<readonly Finding[]>;
  /**
   * Does what a finding's `repair` says, held and only if another look finds the same again; false where
   * it does not. Never removes what the records do not prove to be the engine's own and unneeded.
   */
  repair(finding: Finding, context: Context): Promise<boolean>;
}

/** How the core reaches the inside of a guest. */
export type GuestAccess = SshAccess | EngineAccess;

export interface SshAccess {
  readonly via: "ssh";
  /** Where the guest's sshd listens; null while the guest has no address yet. */
  endpoint(id: string): Promise<SshEndpoint | null>;
}

export interface SshEndpoint {
  readonly host: string;
  readonly port: number;
}

export interface EngineAccess {
  readonly via: "engine";
  /** Resolves when commands can run; rejects with GUEST_UNREACHABLE after `timeout` ms. */
  ready(id: string, timeout: number, context: Context): Promise<void>;
  /** argv, never a shell string. A non-zero exit is a result, not an error. */
  exec(id: string, argv: readonly string[], options: ExecOptions): Promise<ExecSession>;
}

export interface ExecOptions {
  readonly cwd?: string;
  readonly user?: string;
  readonly tty?: { readonly columns: number; readonly rows: number; readonly term: string };
  readonly signal?: AbortSignal;
}

/** A command that runs in a guest. Streams are Node streams. */
export interface ExecSession {
  readonly stdin: NodeJS.WritableStream;
  readonly stdout: NodeJS.ReadableStream;
  readonly stderr: NodeJS.ReadableStream;
  resize(columns: number, rows: number): void;
  /** Resolves when the command has ended and its output is read. */
  readonly exit: Promise<{ readonly code: number | null; readonly signal?: string }>;
}

export interface Networks {
  list(): Promise<{ readonly name: string; readonly type: string; readonly description: string }[]>;
  /**
   * Adds an interface to a stopped instance, which needs a hold. Present exactly when the feature
   * "network.attach" is declared.
   */
  attach?(id: string, nic: NicSpec, context: Context): Promise<void>;
}

/**
 * What happens from subscription on, by whomever. "resync" comes first, once nothing is missed any more,
 * and after each gap: the caller lists again. "changed" is anything but the state: made, deleted,
 * recovered, resized, a snapshot taken, restored, deleted or renamed. More than happened may be told.
 */
export type EngineEvent =
  | { readonly at: number; readonly kind: "state"; readonly id: string; readonly state: EngineState }
  | { readonly at: number; readonly kind: "changed" | "removed"; readonly id: string }
  | { readonly at: number; readonly kind: "resync" };
