import type { SnapshotRecord } from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { coveredDisks, restoredDisks } from "./disks.ts";
import { requireStopped } from "./lock.ts";
import type { StoredInstance, StoredSnapshot } from "./world.ts";

/** A guest has an agent that freezes its file systems, unless it has this file. */
const NO_AGENT = "/etc/no-agent";

/** The instance with a snapshot of what it is at this moment; `cut` stops it there. */
export function withSnapshot(
  stored: StoredInstance,
  record: SnapshotRecord,
  taken: number,
  cut: boolean,
): StoredInstance {
  requireState(stored, record);
  if (stored.snapshots.some(({ name }) => name === record.name)) {
    throw failure("SNAPSHOT_EXISTS", { name: stored.name, snapshot: record.name });
  }
  const { further } = coveredDisks(stored);
  const memory = record.consistency === "memory" ? { memory: stored.memory ?? {} } : {};
  const snapshot: StoredSnapshot = { ...record, ...machineOf(stored), ...memory, further };
  return {
    ...(cut ? powerless(stored) : stored),
    snapshots: [...stored.snapshots, snapshot],
    standsOn: record.name,
    record: { ...stored.record, snapshotsTaken: taken },
  };
}

/** A stopped instance with all that a snapshot has; with its memory it is suspended. */
export function backAt(
  stored: StoredInstance,
  snapshot: StoredSnapshot,
  wantsMemory: boolean,
): StoredInstance {
  const { name, mounts, nics, cloudInstanceId, memory } = snapshot;
  if (wantsMemory && memory === undefined) {
    const reason = "it was taken without";
    throw failure("UNSUPPORTED", { what: `restoring the memory of "${name}"`, engine: "memory", reason });
  }
  const { variables: _, ...kept } = powerless(stored);
  return {
    ...kept,
    ...restoredDisks(stored, snapshot),
    mounts,
    nics,
    ...machineOf(snapshot),
    standsOn: name,
    record: { ...stored.record, cloudInstanceId },
    ...(wantsMemory && memory !== undefined ? { state: "suspended", memory, resumes: name } : {}),
  };
}

/** What stays of an instance without power. */
export function powerless({ memory: _, resumes: __, ...kept }: StoredInstance): StoredInstance {
  return { ...kept, state: "stopped" };
}

/** What a guest has written: its disk, and what its firmware remembers. */
function machineOf({ contents, variables }: Pick<StoredInstance, "contents" | "variables">) {
  return { contents, ...(variables === undefined ? {} : { variables }) };
}

function requireState(stored: StoredInstance, { consistency = "stopped" }: SnapshotRecord): void {
  const { name, state, contents } = stored;
  if (consistency === "stopped") {
    requireStopped(stored, "Only stopped instances can be snapshotted as stopped ones");
    return;
  }
  const reason = "Only running instances can be snapshotted as running ones";
  if (state === "suspended") {
    throw failure("INSTANCE_SUSPENDED", { name, reason });
  }
  if (state !== "running") {
    throw failure("WRONG_STATE", { name, reason, state: "Stopped" });
  }
  if (consistency === "files" && contents[NO_AGENT] !== undefined) {
    throw failure("AGENT_MISSING", { name, reason: `its guest has the file ${NO_AGENT}` });
  }
}
