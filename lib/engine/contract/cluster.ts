import type { Context, Lock } from "./call.ts";

/** Several hosts behind one engine. */
export interface Cluster {
  members(): Promise<readonly ClusterMember[]>;
  /** Moves a stopped instance without mounts, with its snapshots. */
  move(lock: Lock, member: string, context: Context): Promise<void>;
}

export interface ClusterMember {
  readonly name: string;
  readonly online: boolean;
  readonly detail: string;
}
