import type { CallOptions } from "./session.ts";

/** The name by which users speak of the disk that has none in the contract. */
export const SYSTEM_DISK = "system";

/** A disk of an instance. */
export interface DiskInfo {
  /** Its name in the instance, such as "vdb"; "system" of the system disk. */
  readonly name: string;
  /** Virtual size, bytes; 0 where it cannot be told. */
  readonly size: bigint;
  /** Snapshots do not have its contents, and restores leave it as it is. */
  readonly excluded: boolean;
}

/** What a restore does with a further disk. */
export interface DiskChange {
  /** Name of the disk. */
  readonly disk: string;
  /** Virtual size, bytes: as it is now, or of a disk that comes back, as it was then. */
  readonly size: bigint;
  /**
   * It "leaves", because the snapshot does not have it; "returns", because only the snapshot has it; or is "kept" as
   * it is now, because it is excluded or was when the snapshot was taken.
   */
  readonly change: "leaves" | "returns" | "kept";
  /** The same as a sentence for the user, without a full stop. */
  readonly detail: string;
}

/** What a restore is going to do beside bringing the disks' contents back. */
export interface RestorePlan {
  /** Further disks for which it is more than that, by name. */
  readonly disks: readonly DiskChange[];
  /** Whether the guest comes back as it ran, with its memory. */
  readonly memory: boolean;
  /** Whether the instance runs, and so is stopped for it. */
  readonly running: boolean;
}

/** Disks of instances: the system disk, and those beside it. */
export interface StrataDisks {
  /**
   * The disks of an instance, the system disk first.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_DELETED
   */
  list(instance: string): Promise<DiskInfo[]>;
  /**
   * Adds an empty disk to a stopped instance. Snapshots have it from then on.
   *
   * @param size - bytes; at least 1 MiB
   * @throws INSTANCE_NOT_FOUND, WRONG_STATE or INSTANCE_SUSPENDED unless stopped, SIZE_TOO_SMALL, NO_SPACE, UNSUPPORTED
   */
  add(instance: string, size: bigint, options?: CallOptions): Promise<DiskInfo>;
  /**
   * Makes a disk of a stopped instance larger; "system" is the system disk.
   *
   * @throws INSTANCE_NOT_FOUND, DISK_NOT_FOUND, DISK_SHRINK, WRONG_STATE or INSTANCE_SUSPENDED unless stopped,
   * UNSUPPORTED
   */
  grow(instance: string, disk: string, size: bigint, options?: CallOptions): Promise<void>;
  /**
   * Removes a disk from a stopped instance, with its contents; those of a file of the user's own, as of an adopted
   * instance, stay in the file.
   *
   * @throws INSTANCE_NOT_FOUND, DISK_NOT_FOUND, DISK_IN_SNAPSHOT, WRONG_STATE or INSTANCE_SUSPENDED unless stopped,
   * UNSUPPORTED
   */
  remove(instance: string, disk: string, options?: CallOptions): Promise<void>;
  /**
   * Rejects like `remove`, as far as this can be checked beforehand, so that users are not asked in vain.
   *
   * @throws INSTANCE_NOT_FOUND, DISK_NOT_FOUND, DISK_IN_SNAPSHOT, WRONG_STATE or INSTANCE_SUSPENDED unless stopped
   */
  checkRemove(instance: string, disk: string): Promise<void>;
  /**
   * Leaves a disk out of snapshots from now on; restores leave it as it is. Snapshots that have it keep its contents.
   *
   * @throws INSTANCE_NOT_FOUND, DISK_NOT_FOUND, UNSUPPORTED
   */
  exclude(instance: string, disk: string, options?: CallOptions): Promise<void>;
  /**
   * Has snapshots cover a disk again.
   *
   * @throws INSTANCE_NOT_FOUND, DISK_NOT_FOUND, UNSUPPORTED with the reason, for a disk that they cannot cover
   */
  include(instance: string, disk: string, options?: CallOptions): Promise<void>;
}
