import type { InstanceInfo, SnapshotInfo } from "../../core/api/strata.ts";
import type { Mount } from "../../engine/contract.ts";

/** What `info` was asked for: instances, snapshots, or both. */
export interface Infos {
  readonly instances: readonly InstanceInfo[];
  readonly snapshots: readonly SnapshotInfo[];
  /** Only snapshots were requested, which matters if there are none. */
  readonly onlySnapshots: boolean;
}

export function mountLines(mounts: readonly Mount[]): string[] {
  return mounts.map(({ source, target }) => `${source} => ${target}`);
}

/** Release and CPUs are shown for running instances, including one that is about to shut down. */
export function runs({ state }: InstanceInfo): boolean {
  return state === "Running" || state === "Delayed Shutdown";
}
