import type { EngineFailure, InstanceState } from "./instance-info.ts";

/** An image that is kept on this host, in one or several places. Sizes are bytes. */
export interface ImageUsage {
  /** SHA-256 of the image: its identity. */
  readonly sha256: string;
  /** Names that launch it; none for one that only instances still use. */
  readonly aliases: readonly string[];
  /** Among the user's own images. */
  readonly own: bigint;
  /** Among those for all users. */
  readonly system: bigint;
  /** With the engines, for their instances. */
  readonly engines: bigint;
  /** In all these places. */
  readonly size: bigint;
  /** Names of the instances that were launched from it. */
  readonly usedBy: readonly string[];
  /** What deleting it would give back: nothing while an instance uses it. */
  readonly reclaimable: bigint;
}

/** What an instance's own files are for. Bytes. */
export interface InstanceParts {
  /** The disk as it is now, without what snapshots keep. */
  readonly active: bigint;
  /** What its snapshots keep. */
  readonly snapshots: bigint;
  /** Flattened copies of layers, which make reads quick and can be built again. */
  readonly flattened: bigint;
  /** Memory that was saved by `suspend`. */
  readonly memory: bigint;
  /** Records, cloud-init's seed, a CD-ROM, the log of the console. */
  readonly other: bigint;
}

/** An instance's own files. Sizes are bytes. */
export interface InstanceUsage {
  /** Unique among the instances of its engine. */
  readonly name: string;
  /** The engine that it is on. */
  readonly engine: string;
  /** As lists show it. */
  readonly state: InstanceState;
  /** Null where the engine does not tell what they are for. */
  readonly parts: InstanceParts | null;
  /** Null where the engine cannot tell. */
  readonly size: bigint | null;
  /** What `purge` would give back: all of a deleted instance. */
  readonly reclaimable: bigint;
}

/** A file system of this host that strata's files are in. */
export interface FileSystemUsage {
  /** The folders in it. */
  readonly folders: readonly string[];
  /** Bytes. */
  readonly size: bigint;
  /** Bytes that this user may still write. */
  readonly free: bigint;
}

/** What strata's files take on this host. */
export interface DiskUsage {
  /** The largest first. */
  readonly images: readonly ImageUsage[];
  /** By name. */
  readonly instances: readonly InstanceUsage[];
  /** Each once, in the order of the folders that it has. */
  readonly fileSystems: readonly FileSystemUsage[];
  /** Engines that could not be asked. */
  readonly failures: readonly EngineFailure[];
}
