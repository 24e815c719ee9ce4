import type { Context, Lock } from "./call.ts";
import type { Resources } from "./instances.ts";
import type { Mount } from "./mounts.ts";
import type { Nic } from "./networks.ts";

/**
 * How a snapshot's contents agree with what ran: of a stopped instance; of a running one as if its power had been cut
 * ("crash"); with the file systems frozen by the guest's agent ("files"); with the memory of that moment ("memory").
 */
export const CONSISTENCIES = ["stopped", "crash", "files", "memory"] as const;
export type Consistency = (typeof CONSISTENCIES)[number];

/** What a snapshot records beside the disk's contents. */
export interface SnapshotRecord {
  readonly name: string;
  readonly comment: string;
  /** Name of the snapshot last taken or restored before this one was taken; null for none. */
  readonly parent: string | null;
  /** `disks` of it are those of the instance: the snapshot has the contents of all but the excluded ones. */
  readonly resources: Resources;
  readonly mounts: readonly Mount[];
  readonly nics: readonly Nic[];
  readonly cloudInstanceId: string;
  readonly createdAt: number;
  /** Absent for "stopped". What `take` is asked for it delivers, or it rejects. */
  readonly consistency?: Consistency;
  /** The same for all snapshots of several instances that were taken at one moment; absent for one taken alone. */
  readonly group?: string;
}

export interface Snapshot extends SnapshotRecord {
  /** Bytes that this snapshot's layer alone holds; null where the engine cannot tell. */
  readonly size: bigint | null;
  /** Bytes that the memory takes; absent without memory, null where the engine cannot tell. */
  readonly memorySize?: bigint | null;
}

export interface TakeOptions {
  /**
   * Cuts the power of a running instance at the moment of the snapshot, so that no write of the guest falls between
   * the two. Only with the consistency "crash".
   */
  readonly cut?: boolean;
}

export interface RestoreOptions {
  /**
   * Has the instance come back as it ran: it is suspended then, and the next start resumes it. Only for a snapshot of
   * the consistency "memory"; without it the memory is left where it is.
   */
  readonly memory?: boolean;
}

/** One of several instances whose snapshots are taken at one moment. */
export interface GroupMember {
  readonly lock: Lock;
  readonly record: SnapshotRecord;
  /** As in `take`. */
  readonly taken: number;
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

/** What a deletion does to the records, worked out by the core. */
export interface Removal {
  readonly name: string;
  /** What the children and, if it stood on the snapshot, the instance get as their parent. */
  readonly parent: string | null;
  readonly children: readonly string[];
}

export interface Snapshots {
  tree(id: string): Promise<SnapshotTree>;
  /** Present where the engine can tell this much sooner than the whole tree. */
  outline?(id: string): Promise<SnapshotOutline>;
  /** One snapshot as in the tree, or null. Present where the engine can tell it much sooner than the whole tree. */
  find?(id: string, name: string): Promise<Snapshot | null>;
  /** What deleting a snapshot does; null when it is not there. Without it the core reads the whole tree. */
  removal?(id: string, name: string): Promise<Removal | null>;
  /**
   * Durable on return. Sets the record's `snapshotsTaken` to `taken` in the same stroke. The record's consistency says
   * in which state the instance must be: stopped for "stopped", with WRONG_STATE or INSTANCE_SUSPENDED in any other;
   * running for the rest, which need the features "snapshot.running", "snapshot.quiesce" and "snapshot.memory". A
   * guest goes on as it ran, unless `cut` is given, and stays frozen under no circumstances. AGENT_MISSING if "files"
   * is asked for and no agent answers.
   */
  take(
    lock: Lock,
    record: SnapshotRecord,
    taken: number,
    context: Context,
    options?: TakeOptions,
  ): Promise<void>;
  /**
   * Present exactly when the feature "snapshot.group" is declared. Takes snapshots of several instances at one
   * moment, of all or of none, whatever dies meanwhile. The consistency of each is as in `take`, but not "memory".
   */
  takeGroup?(members: readonly GroupMember[], context: Context): Promise<void>;
  /**
   * Brings back all that the snapshot records, of a stopped instance; all or nothing. The instance then stands on it. Of further disks it has
   * those whose contents the snapshot has, and beside them its own excluded ones and those that the snapshot records as
   * excluded, as they are now: an excluded disk is neither changed nor lost by a restore, nor does it come back by one.
   * Any other leaves the instance: what is strata's of it goes as the rest of the state that is left, and a file of the
   * user's own stays.
   */
  restore(lock: Lock, name: string, context: Context, options?: RestoreOptions): Promise<void>;
  /** Contents of every other snapshot and of the instance stay as they are, bit for bit. */
  delete(lock: Lock, removal: Removal, context: Context): Promise<void>;
  /** Children follow the renamed parent. Rejects with SNAPSHOT_EXISTS for a taken name. */
  rename(lock: Lock, name: string, to: string, context: Context): Promise<void>;
  /** Replaces the comment. */
  describe(lock: Lock, name: string, comment: string, context: Context): Promise<void>;
}
