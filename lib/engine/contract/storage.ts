/** What an engine's files take on this host. Sizes are what they take there, not what they seem to have. */
export interface StorageUsage {
  /** Copies of images that instances share. */
  readonly images: readonly { readonly sha256: string; readonly size: bigint }[];
  /** Those of which the engine can tell, deleted ones included. */
  readonly instances: readonly InstanceStorage[];
  /** Absolute paths of folders of this host in which they are; their file systems may fill up. */
  readonly folders: readonly string[];
}

/** Bytes of an instance's own files, by what they are for. */
export interface InstanceStorage {
  readonly id: string;
  /** What it writes now. */
  readonly active: bigint;
  /** What its snapshots keep, with what is no longer needed and not yet removed. */
  readonly snapshots: bigint;
  /** What can be built again of the rest, for quick reads. */
  readonly flattened: bigint;
  /** Saved memory. */
  readonly memory: bigint;
  /** Records, the seed, a CD-ROM, the log of its console. */
  readonly other: bigint;
}
