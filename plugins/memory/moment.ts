import type { SnapshotRecord } from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { coveredDisks } from "./disks.ts";
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
  const snapshot: StoredSnapshot = { ...record, ...machineOf(stored), further };
  return {
    ...stored,
    state: cut ? "stopped" : stored.state,
    snapshots: [...stored.snapshots, snapshot],
    standsOn: record.name,
    record: { ...stored.record, snapshotsTaken: taken },
  };
}

/** What a guest has written: its disk, and what its firmware remembers. */
export function machineOf({ contents, variables }: Pick<StoredInstance, "contents" | "variables">) {
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
