import type { IdMap, Mount } from "../../engine/contract.ts";
import type { CallOptions } from "./session.ts";

/** Options of {@link StrataMounts.mount}. */
export interface MountOptions extends CallOptions {
  /**
   * The kind of mount; the engine's features say which it supports.
   *
   * @default "native"
   */
  readonly type?: Mount["type"];
  /**
   * Map of user ids, host to guest, one to one.
   *
   * @default the caller as the default user
   */
  readonly uidMap?: readonly IdMap[];
  /**
   * Group ids, likewise.
   *
   * @default the caller's as the default user's
   */
  readonly gidMap?: readonly IdMap[];
}

/** A folder of an instance. */
export interface MountPlace {
  /** Name of the instance. */
  readonly instance: string;
  /**
   * Absolute, or relative to the default user's home.
   *
   * @default of a mount: the folder's name in the user's home; of an unmount: all mounts of the instance
   */
  readonly target?: string;
}

/** Folders of this host in instances. */
export interface StrataMounts {
  /**
   * Mounts a folder of the host, at once in running instances and at every start. Everything is checked
   * before anything is changed.
   *
   * @param source - a folder of this host; a relative path is below the working directory
   * @throws INSTANCE_NOT_FOUND, MOUNT_EXISTS, MOUNTS_DISABLED, MOUNT_REFUSED, MOUNT_FAILED, INVALID_VALUE,
   * UNSUPPORTED
   */
  mount(source: string, at: MountPlace | readonly MountPlace[], options?: MountOptions): Promise<void>;
  /**
   * Removes mounts. Everything is checked before anything is changed.
   *
   * @throws INSTANCE_NOT_FOUND, MOUNT_NOT_FOUND, MOUNT_BUSY
   */
  umount(at: MountPlace | readonly MountPlace[], options?: CallOptions): Promise<void>;
}
