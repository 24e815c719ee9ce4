import type { Context, Lock } from "./call.ts";
import type { Disk } from "./disks.ts";
import type { Mount } from "./mounts.ts";
import type { Nic, NicSpec } from "./networks.ts";

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
  /** Bytes, any number of them: an engine of coarser units rounds up, and tells what the guest has. */
  readonly memory: bigint;
  /**
   * Size of the system disk. Bytes, never fewer than the image's `virtualSize`. 0 where it cannot be told, as while an
   * instance comes or goes.
   */
  readonly disk: bigint;
  /** The disks beside it, in the order of the guest; absent where there is none. */
  readonly disks?: readonly Disk[];
}

/** What a machine boots with: BIOS, UEFI, or UEFI that boots only what is signed. */
export const FIRMWARES = ["bios", "uefi", "uefi-secure"] as const;
export type Firmware = (typeof FIRMWARES)[number];

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
  /** When it was started, while nobody has logged in to its guest since; 0 or absent once somebody has. */
  readonly startingAt?: number;
  /** When the instance was last restored; absent for never. Survives restore. */
  readonly restoredAt?: number;
  /** Its way to or from another host. It is nobody's to use before it has arrived; absent where it has not moved. */
  readonly transit?: Transit;
}

/** An instance on its way from one host to another. */
export interface Transit {
  /** Of this move, the same on both hosts: the id of the instance on the first one. */
  readonly id: string;
  /** "leaving": the other host has all of it. "arriving": all of it is here, and the other host may still have it. */
  readonly phase: "leaving" | "arriving" | "arrived";
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
  /** What it boots with; absent where the engine cannot tell. */
  readonly firmware?: Firmware;
  /** Version of its TPM, such as "2.0"; absent without one. */
  readonly tpm?: string;
  /** Name of the snapshot whose memory the next start loads; of a suspended instance that was restored with it. */
  readonly resumes?: string;
  /** It is being removed for good, or that died half-way; its record says that it is deleted. */
  readonly removing?: true;
}

/** What a list of instances shows of each. */
export type InstanceOutline = Pick<Instance, "id" | "name" | "state" | "record" | "addresses" | "member">;

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
  /**
   * Has one line `instance-id: ID`, where ID is `cloudInstanceId` of the record. When a restore has changed that, the
   * line must have changed in the guest's seed by the next start.
   */
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
  /**
   * Path of an ISO 9660 image for its CD drive, from which it boots while its disk is empty. The engine keeps a
   * copy with the instance. Only where the feature "cdrom" is declared.
   */
  readonly cdrom?: string;
  /** Sizes of empty further disks, in the order of the guest. Only where the feature "disks" is declared. */
  readonly extraDisks?: readonly bigint[];
  /** What it boots with; absent for what the engine takes by itself. Only where the feature "firmware" is declared. */
  readonly firmware?: Firmware;
}

/** What a resize is to change; of `disks`, those that are named, and no others. */
export type ResourceChange = Partial<Omit<Resources, "disks">> & {
  readonly disks?: readonly Pick<Disk, "name" | "size">[];
};

/** What is known of an instance before its image is here. */
export type InstancePlan = Omit<InstanceSpec, "image" | "seed" | "record">;

/** What a clone has of its own; everything else is as the original has it. */
export interface CloneSpec {
  readonly name: string;
  readonly seed: Seed;
  readonly record: InstanceRecord;
}

/** What an instance is on its host. */
export interface Footprint {
  /** MAC addresses, the default interface's first. */
  readonly macs: readonly string[];
  /** Bytes that its files take there, without what it shares with others; null where the engine cannot tell. */
  readonly hostDisk: bigint | null;
}

export interface Instances {
  /** All instances of strata, deleted ones included, in no particular order. Takes no lock. */
  list(): Promise<Instance[]>;
  /**
   * Present where the engine can tell the outlines of all much sooner than it can list them; who needs
   * no more falls back on `list`. With `addresses` false, it need not look any up. Takes no lock.
   */
  outline?(options?: { readonly addresses?: boolean }): Promise<InstanceOutline[]>;
  /** The instance of that name, or null. Takes no lock. */
  find(name: string): Promise<Instance | null>;
  /**
   * Locks the instance of that name, waiting up to `wait` ms; rejects with BUSY after it, and with INSTANCE_NOT_FOUND
   * if it is gone or, where an id is given, another has its name by then. What an operation that died has left half
   * done is finished first, unless `finish` is false: that may take long, and whoever only stops or removes an
   * instance needs none of it. That it cannot be finished does not fail the lock.
   */
  lock(
    instance: { readonly name: string; readonly id?: string },
    options: { readonly wait: number; readonly finish?: boolean },
    context: Context,
  ): Promise<Lock>;
  /**
   * Present where the power of a guest can be cut while somebody else has the lock, which then is for
   * "force" to do. What waits for a stop is left to the next one. Takes no lock.
   */
  cut?(id: string, context: Context): Promise<void>;
  /**
   * Present where the engine can tell before the image is here: rejects as `create` would, for a taken name
   * with INSTANCE_EXISTS. What a launch or a removal that died has left does not take a name where `create`
   * takes it away; the core asks nobody else. The disk may yet become larger, and paths below the home of the
   * guest's user may be another's.
   */
  check?(plan: InstancePlan): Promise<void>;
  /** All or nothing; the instance is left stopped. Rejects with INSTANCE_EXISTS for a taken name. */
  create(spec: InstanceSpec, context: Context): Promise<Instance>;

  /** Present where the engine can tell what an instance is on its host. Takes no lock. */
  footprint?(id: string): Promise<Footprint>;

  // Verbs are idempotent: already there is success.
  start(lock: Lock, context: Context): Promise<void>;
  /**
   * Asks the guest to shut down and waits `grace` ms (TIMEOUT after it); "force" cuts the power. What is
   * suspended rejects with INSTANCE_SUSPENDED, or with "force" has its memory dropped.
   */
  stop(lock: Lock, options: { grace: number } | "force", context: Context): Promise<void>;
  /** Present exactly when the feature "suspend" is declared. */
  suspend?(lock: Lock, context: Context): Promise<void>;
  /**
   * Present exactly when the feature "clone" is declared. A full, independent copy of a stopped instance
   * as it stands, without its snapshots and excluded disks, with addresses of its own. All or nothing; the copy is
   * stopped.
   */
  clone?(lock: Lock, copy: CloneSpec, context: Context): Promise<Instance>;
  /**
   * Present exactly when the feature "rename" is declared. Gives a stopped instance, with all that it has, another
   * name; resolves to it as it is then. Its id stays. All or nothing; rejects with INSTANCE_EXISTS for a taken name.
   */
  rename?(lock: Lock, to: string, context: Context): Promise<Instance>;
  /**
   * Present exactly when the feature "eject" is declared. Takes the medium out of a CD or floppy drive: of the one that
   * is named, else of the only one that has a medium. Resolves to the drive's name. INVALID_VALUE for no such drive.
   */
  eject?(lock: Lock, drive: string | undefined, context: Context): Promise<string>;
  /**
   * Applies all or none, on a stopped instance. Disks only grow; one that is not there rejects with DISK_NOT_FOUND.
   * Excluded ones may be refused with UNSUPPORTED.
   */
  resize(lock: Lock, change: ResourceChange, context: Context): Promise<void>;
  /** Merges into the record that the engine keeps. `undefined` members are left alone. */
  annotate(lock: Lock, change: Partial<InstanceRecord>): Promise<void>;
  /** Removes instance, snapshots and layers for good, running or not. */
  remove(lock: Lock, context: Context): Promise<void>;
}
