/** The features that strata asks for. */
export const FEATURES = [
  "snapshot.stopped",
  /** `take` of a running instance, which goes on running, or stops at that moment with `cut`. */
  "snapshot.running",
  /** `take` with the file systems frozen by the guest's agent. */
  "snapshot.quiesce",
  /** `take` and `restore` with memory; needs "suspend", since what is restored so is suspended. */
  "snapshot.memory",
  /** `takeGroup`. */
  "snapshot.group",
  /** A deletion frees its room while the instance runs, and does not wait for it to stop. */
  "snapshot.drop-running",
  "mount.native",
  "mount.classic",
  "mount.hotplug",
  "mount.idmap",
  "disk.grow",
  /** Instances may have further disks. */
  "disks",
  "suspend",
  "clone",
  "rename",
  "portable",
  "adopt",
  "autostart",
  "network.list",
  "network.attach",
  "events",
  "audit",
  "read-image",
  "cluster",
  "cdrom",
  "eject",
  /** `create` takes `firmware`; snapshots and clones have what the firmware remembers, such as UEFI variables. */
  "firmware",
  "console",
  "console.log",
  /** Of an engine of containers: virtual machines beside them. */
  "vm",
] as const;

/** One of these, or a feature of the engine's own, whose name begins with `x-`: strata shows it and asks for nothing. */
export type Feature = (typeof FEATURES)[number] | `x-${string}`;

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

/** One finding of a check of the host. */
export interface Check {
  readonly what: string;
  readonly ok: boolean;
  /** What was found: a version, a path, the reason of a failure. */
  readonly detail: string;
  /** What to do about it, where it is not ok. */
  readonly fix?: string;
}

export interface Log {
  error(message: string, details?: object): void;
  warn(message: string, details?: object): void;
  info(message: string, details?: object): void;
  debug(message: string, details?: object): void;
}
