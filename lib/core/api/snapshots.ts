import type { Mount } from "../../backend/contract.ts";

/** An instance, or one of its snapshots: `NAME` or `NAME.SNAPSHOT`. */
export interface Ref {
  readonly instance: string;
  readonly snapshot?: string;
}

export interface SnapshotInfo {
  readonly instance: string;
  readonly name: string;
  readonly comment: string;
  readonly parent: string | null;
  readonly children: readonly string[];
  /** Milliseconds since the epoch, UTC. */
  readonly createdAt: number;
  readonly cpus: number;
  readonly memory: bigint;
  readonly disk: bigint;
  readonly mounts: readonly Mount[];
  /** Bytes that this snapshot's layer alone holds; null where the engine cannot tell. */
  readonly size: bigint | null;
}

export interface SnapshotTreeInfo {
  readonly instance: string;
  /** In order of creation. */
  readonly snapshots: readonly SnapshotInfo[];
  /** The snapshot the instance stands on; null for none. */
  readonly standsOn: string | null;
}
