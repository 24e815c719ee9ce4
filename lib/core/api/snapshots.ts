import type { Consistency, Disk, Mount } from "../../engine/contract.ts";
import type { DiskChange, RestorePlan } from "./disks.ts";
import type { InstanceNames } from "./instances.ts";
import type { CallOptions, EachOptions } from "./session.ts";

/** An instance, or one of its snapshots. */
export interface Ref {
  /** Name of the instance. */
  readonly instance: string;
  /** Absent if the instance itself is meant. */
  readonly snapshot?: string;
  /** In strata's answers: `web`, or `web.clean`. */
  toString(): string;
}

/** A snapshot of an instance. In strata's answers, `${ref}` is `web.clean`. */
export interface SnapshotRef extends Ref {
  /** Name of the snapshot. */
  readonly snapshot: string;
}

/** Names an instance or a snapshot: `"web"`, `"web.clean"`, or an object. */
export type AnyRef = string | Ref;

/** Names a snapshot: `"web.clean"`, or an object. `parseSnapshotRef` makes one of any string. */
export type AnySnapshotRef = `${string}.${string}` | SnapshotRef;

/** A snapshot as it was taken. */
export interface SnapshotInfo {
  /** Name of its instance. */
  readonly instance: string;
  /** Unique in its instance. */
  readonly name: string;
  /** "" for none. */
  readonly comment: string;
  /** Name of the snapshot that it was taken on; null for none. */
  readonly parent: string | null;
  /** Names of the snapshots that were taken on it. */
  readonly children: readonly string[];
  /** Milliseconds since the epoch, UTC. */
  readonly createdAt: number;
  /** CPUs of the instance when it was taken. */
  readonly cpus: number;
  /** Bytes. */
  readonly memory: bigint;
  /** Virtual size of the system disk, bytes. */
  readonly disk: bigint;
  /** The disks beside it; the contents of excluded ones are not in the snapshot. Absent if there was none. */
  readonly disks?: readonly Disk[];
  /** Mounts of the instance when it was taken. */
  readonly mounts: readonly Mount[];
  /** Bytes of this snapshot's own layer; null if the engine cannot tell. */
  readonly size: bigint | null;
  /**
   * How its contents agree with what ran: of a stopped instance; of a running one as if its power had been cut
   * ("crash"); with the file systems frozen by the guest's agent ("files"); with the memory of that moment ("memory").
   */
  readonly consistency: Consistency;
  /** Bytes that the saved memory takes; null without memory, or if the engine cannot tell. */
  readonly memorySize: bigint | null;
  /** The same for all snapshots that were taken together; null if it was taken alone. */
  readonly group: string | null;
}

/** The snapshots of an instance. */
export interface SnapshotTreeInfo {
  /** Name of the instance. */
  readonly instance: string;
  /** In order of creation. */
  readonly snapshots: readonly SnapshotInfo[];
  /** Name of the snapshot that was last taken or restored; null for none. */
  readonly standsOn: string | null;
}

/** Options of {@link StrataSnapshots.take}. */
export interface TakeOptions extends CallOptions {
  /**
   * Letters, digits and hyphens, at most 63.
   *
   * @default `snapshotN`, with the next number
   */
  readonly name?: string;
  /**
   * A comment of at most 1 MiB.
   *
   * @default ""
   */
  readonly comment?: string;
  /**
   * Further disks to leave out of this snapshot, and of all later ones: as `disks.exclude` does.
   *
   * @default none beside those that are excluded already
   */
  readonly exclude?: readonly string[];
  /**
   * How the contents must agree with what runs; a snapshot that cannot have it is not taken. "files" needs the
   * guest's agent. With "memory" the mounts are taken out of the guest meanwhile.
   *
   * @default "crash" of a running instance, else "stopped"
   */
  readonly consistency?: Consistency;
  /**
   * Shuts a running instance down before, and starts it again afterwards, also if no snapshot could be taken.
   *
   * @default false
   */
  readonly stop?: boolean;
}

/** Options of {@link StrataSnapshots.takeGroup}. */
export interface TakeGroupOptions extends CallOptions, Pick<TakeOptions, "comment" | "stop"> {
  /**
   * The name of each, and so of the group: letters, digits and hyphens, at most 63.
   *
   * @default `snapshotN`, with a number that is free in all of them
   */
  readonly name?: string;
  /**
   * How the contents of those that run must agree with what runs; those that are stopped are as they are. Memory is
   * taken of one instance at a time.
   *
   * @default "crash" of those that run
   */
  readonly consistency?: Exclude<Consistency, "memory">;
}

/** Snapshots that were taken at one moment. */
export interface SnapshotGroup {
  /** The `group` of each. */
  readonly id: string;
  /** What is left of them, by instance. */
  readonly snapshots: readonly SnapshotRef[];
  /** Those of deleted instances, which are not among them. */
  readonly deleted: readonly SnapshotRef[];
}

/** What the restore of a group has done with one of its instances. */
export interface RestoredMember extends Restored {
  /** The snapshot to which it was restored. */
  readonly snapshot: SnapshotRef;
}

/** Options of {@link StrataSnapshots.checkRestore}. */
export interface CheckRestoreOptions {
  /**
   * Leaves the memory of a snapshot alone: the guest boots from the disks.
   *
   * @default false
   */
  readonly diskOnly?: boolean;
}

/** Options of {@link StrataSnapshots.restore}. */
export interface RestoreOptions extends CallOptions, CheckRestoreOptions {
  /**
   * Takes a snapshot of the current state first, under the same lock. Of a running instance it is one as after a
   * power cut, and no write of the guest is lost between the snapshot and the stop.
   *
   * @default false: the current state is discarded
   */
  readonly saveFirst?: boolean;
  /**
   * Changes of further disks that the user was shown, as `checkRestore` gave them: `warn` gets all others.
   *
   * @default none
   */
  readonly shown?: readonly DiskChange[];
  /**
   * Starts the instance afterwards, or leaves it as it is then.
   *
   * @default true if it ran before
   */
  readonly start?: boolean;
}

/** What a restore has done. */
export interface Restored {
  /** The snapshot of the state before, with `saveFirst`; else null. */
  readonly saved: SnapshotRef | null;
  /** True if the instance was left suspended, and the next start resumes it where the snapshot was taken. */
  readonly resumes: boolean;
}

/** Snapshots of instances. */
export interface StrataSnapshots {
  /**
   * Takes a snapshot of a stopped instance, or of a running one, which goes on running.
   *
   * @returns the snapshot
   * @throws INSTANCE_NOT_FOUND, WRONG_STATE or INSTANCE_SUSPENDED, SNAPSHOT_EXISTS, INVALID_NAME, UNSUPPORTED where the
   * engine cannot have the consistency; AGENT_MISSING with "files"; MOUNT_BUSY with "memory"; TIMEOUT with `stop`
   */
  take(instance: string, options?: TakeOptions): Promise<SnapshotRef>;
  /**
   * Takes snapshots of several instances at one moment: of all or of none. Those that run go on running.
   *
   * @returns the snapshots, by instance
   * @throws as `take`, for any of them; UNSUPPORTED if the engine cannot do it, or they are of several engines
   */
  takeGroup(instances: readonly string[], options?: TakeGroupOptions): Promise<SnapshotRef[]>;
  /**
   * The snapshots that were taken together under a name. It is looked for among the present names of snapshots; a
   * group that shares its name with another is found by its id, or the first 8 characters of it.
   *
   * @throws GROUP_NOT_FOUND; INVALID_VALUE if several groups have the name
   */
  findGroup(name: string): Promise<SnapshotGroup>;
  /**
   * Restores all instances of a group, except deleted ones: all are checked before the first is changed, and those
   * that ran are started when all are restored.
   *
   * @returns what was done with each, by instance
   * @throws as `findGroup`, and as `restore`, for any of them
   */
  restoreGroup(name: string, options?: RestoreOptions): Promise<RestoredMember[]>;
  /**
   * The snapshots of instances, in a tree for each, by instance name.
   *
   * @param names - by default all instances that are not deleted
   * @throws INSTANCE_NOT_FOUND
   */
  list(names?: InstanceNames): Promise<SnapshotTreeInfo[]>;
  /**
   * The snapshots of one instance.
   *
   * @throws INSTANCE_NOT_FOUND
   */
  tree(instance: string): Promise<SnapshotTreeInfo>;
  /**
   * Restores an instance to a snapshot: disks, CPUs, memory, mounts and interfaces. The power of a running instance is
   * cut for that, and it is started again. A snapshot with memory brings back the guest as it ran. A further disk that
   * the snapshot does not have is removed, unless it is excluded: excluded disks stay as they are. `warn` gets a
   * sentence for each disk that is removed, comes back or stays as it is, if the instance has further disks.
   *
   * @throws INSTANCE_NOT_FOUND, SNAPSHOT_NOT_FOUND, WRONG_STATE or INSTANCE_SUSPENDED unless stopped or running;
   * MEMORY_UNLOADABLE if the memory does not fit this host any more; what `start` throws
   */
  restore(ref: AnySnapshotRef, options?: RestoreOptions): Promise<Restored>;
  /**
   * Rejects like `restore`, as far as this can be checked beforehand, so that users are not asked in vain.
   *
   * @returns what it would do
   * @throws INSTANCE_NOT_FOUND, SNAPSHOT_NOT_FOUND, WRONG_STATE or INSTANCE_SUSPENDED unless stopped or running
   */
  checkRestore(ref: AnySnapshotRef, options?: CheckRestoreOptions): Promise<RestorePlan>;
  /**
   * Permanently deletes snapshots anywhere in the tree; all are looked up first. The contents of the instance
   * and of other snapshots stay the same.
   *
   * @throws INSTANCE_NOT_FOUND, SNAPSHOT_NOT_FOUND, INSTANCE_SUSPENDED
   */
  delete(refs: AnySnapshotRef | readonly AnySnapshotRef[], options?: EachOptions): Promise<void>;
  /**
   * Renames a snapshot; its children follow.
   *
   * @returns the snapshot under its new name
   * @throws SNAPSHOT_NOT_FOUND, SNAPSHOT_EXISTS, INVALID_NAME
   */
  rename(ref: AnySnapshotRef, name: string, options?: CallOptions): Promise<SnapshotRef>;
  /**
   * Replaces the comment of a snapshot.
   *
   * @throws SNAPSHOT_NOT_FOUND
   */
  describe(ref: AnySnapshotRef, comment: string, options?: CallOptions): Promise<void>;
}
