import type { IdMap, Mount } from "../../engine/contract.ts";
import type { CallOptions } from "./session.ts";

/** Options of {@link StrataMounts.mount}. */
export interface MountOptions extends CallOptions {
  /**
   * How the guest sees it; what an engine has is among its features.
   *
   * @default "native"
   */
  readonly type?: Mount["type"];
  /**
   * User ids of the host as those of the guest, one to one.
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
   * Mounts a folder of the host, at once in running instances and at every start. All is checked before
   * anything is changed.
   *
   * @param source - a folder of this host; a relative path is one of the working directory
   * @throws INSTANCE_NOT_FOUND, MOUNT_EXISTS, MOUNTS_DISABLED, MOUNT_REFUSED, MOUNT_FAILED, INVALID_VALUE,
   * UNSUPPORTED
   */
  mount(source: string, at: MountPlace | readonly MountPlace[], options?: MountOptions): Promise<void>;
  /**
   * Takes mounts away. All is checked before anything is changed.
   *
   * @throws INSTANCE_NOT_FOUND, MOUNT_NOT_FOUND, MOUNT_BUSY
   */
  umount(at: MountPlace | readonly MountPlace[], options?: CallOptions): Promise<void>;
}
