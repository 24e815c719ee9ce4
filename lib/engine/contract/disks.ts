import type { Context, Lock } from "./call.ts";

/**
 * A further disk: one beside the system disk, whose size is `disk` of the resources and which has no name here.
 * What snapshots do not cover by the instance's own definition is told as excluded, too.
 */
export interface Disk {
  /** As "vdb" on libvirt. Unique in the instance, and the same disk in its snapshots: no other takes a name that one of those has. */
  readonly name: string;
  /** Bytes. 0 where it cannot be told. */
  readonly size: bigint;
  /** The user left it out: snapshots do not have its contents, and restores leave it as it is. */
  readonly excluded?: true;
}

/** Disks beside the system disk, of a stopped instance. Sizes change by `resize`. */
export interface Disks {
  /** Adds an empty disk under a free name. It is part of the snapshots taken from then on. */
  add(lock: Lock, size: bigint, context: Context): Promise<Disk>;
  /**
   * Takes a disk away, with its contents where they are strata's; a file of the user's own is let go as it is. Rejects
   * with DISK_NOT_FOUND, and with DISK_IN_SNAPSHOT while a snapshot has its contents.
   */
  remove(lock: Lock, name: string, context: Context): Promise<void>;
  /**
   * Leaves a disk out of the snapshots to come, or has them cover it again: UNSUPPORTED with the reason where they
   * cannot. Contents, snapshots and their records stay as they are. Already so is success.
   */
  exclude(lock: Lock, name: string, excluded: boolean, context: Context): Promise<void>;
}
