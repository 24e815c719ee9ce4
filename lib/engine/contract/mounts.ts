import type { Context, Lock } from "./call.ts";

export interface IdMap {
  readonly host: number;
  readonly guest: number;
  /** No map was asked for: it is the caller's id as that of the guest's default user. Kept as it is. */
  readonly default?: true;
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

/** Folders of the host inside an instance. */
export interface Mounts {
  /**
   * Records the mount and, on a running instance with the feature "mount.hotplug", makes it available at
   * once: "applied". Otherwise it takes effect at the next start: "restart". All or nothing.
   */
  attach(lock: Lock, mount: Mount, context: Context): Promise<"applied" | "restart">;
  /** Idempotent: a target that is not mounted is success. */
  detach(lock: Lock, target: string, context: Context): Promise<"applied" | "restart">;
  /** What the core has to mount in the running guest; empty where the engine does all by itself. */
  inside(id: string): Promise<readonly GuestMount[]>;
  /**
   * Present where the host lets the engine map some ids and not others: why it refuses these maps, or null.
   * `attach` and `create` reject with UNSUPPORTED for the same reason.
   */
  refusal?(maps: Pick<Mount, "uidMap" | "gidMap">): Promise<string | null>;
}

/** What `mount -t FILESYSTEM -o OPTIONS SOURCE TARGET` takes, run as root in the guest. */
export interface GuestMount {
  readonly target: string;
  readonly filesystem: string;
  readonly source: string;
  /** Comma-separated; "" for none. */
  readonly options: string;
}
