import { type EngineState, type Instance, RECORD_VERSION } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import type { Config, LxdInstance } from "../rest/shapes.ts";
import { DEFAULT_NIC, readNics, readResources } from "./devices.ts";
import type { Managed } from "./managed.ts";
import { readMounts } from "./records.ts";

const STATES: Readonly<Record<string, EngineState>> = {
  Running: "running",
  Ready: "running",
  Stopped: "stopped",
  Frozen: "suspended",
  Starting: "starting",
  Stopping: "stopping",
  Aborting: "stopping",
  Freezing: "suspending",
  Thawed: "running",
};

/** The contract's state for LXD's, such as "Running". */
export function readState(status: string): EngineState {
  return STATES[status] ?? "unknown";
}

/** An instance as the core sees it. */
export function toInstance(managed: Managed): Instance {
  const { id, name, own, config, instance, member, operation, snapshots } = managed;
  const state = operation?.kind === "create" ? "starting" : readState(instance.status);
  return {
    id,
    name,
    state,
    resources: readResources(config, instance.devices),
    mounts: readMounts(name, config),
    nics: readNics(instance.devices),
    // An interrupted removal was requested, so the instance counts as deleted: purge finishes it.
    record: operation?.kind === "purge" ? { ...own.record, deleted: true } : own.record,
    addresses: state === "running" ? addressesOf(instance, config) : [],
    snapshotCount: snapshots.length,
    ...(member === undefined ? {} : { member }),
  };
}

/**
 * The member that an instance is on, if that does not answer; undefined for one that does. Of such an
 * instance LXD reports only name and member, so it is not known whether it is strata's.
 */
export function lostMember({ status, location, config }: LxdInstance): string | undefined {
  return status === "Error" && location !== "" && Object.keys(config).length === 0 ? location : undefined;
}

/** An instance whose member does not answer. Its id matches nothing, so nothing can be done to it. */
export function unreachable(name: string, member: string): Instance {
  return {
    id: `${name}/`,
    name,
    state: "unknown",
    resources: { cpus: 0, memory: 0n, disk: 0n },
    mounts: [],
    nics: [],
    record: {
      version: RECORD_VERSION,
      image: { sha256: "", release: "", os: "" },
      username: "",
      deleted: false,
      snapshotsTaken: 0,
      cloudInstanceId: "",
      createdAt: 0,
    },
    addresses: [],
    snapshotCount: 0,
    member,
  };
}

/** Rejects with an error for its state unless the instance is stopped. */
export function requireStopped({ name, instance }: Managed, reason: string): void {
  const state = readState(instance.status);
  if (state === "suspended") {
    throw failure("INSTANCE_SUSPENDED", { name, reason });
  }
  if (state !== "stopped") {
    throw failure("WRONG_STATE", { name, reason, state: instance.status });
  }
}

/** IPv4 addresses that other machines can reach, that of the default interface first. */
function addressesOf({ state }: LxdInstance, config: Config): string[] {
  const mac = config[`volatile.${DEFAULT_NIC}.hwaddr`];
  const found = Object.entries(state?.network ?? {}).flatMap(([nic, { addresses, hwaddr }]) =>
    (addresses ?? [])
      .filter(({ family, scope }) => family === "inet" && scope === "global")
      .map(({ address }) => ({ nic, hwaddr, address })),
  );
  // In a virtual machine, interfaces have the guest's names.
  const own = found.filter(({ nic, hwaddr }) => nic === DEFAULT_NIC || (hwaddr !== "" && hwaddr === mac));
  return [...own, ...found.filter((each) => !own.includes(each))].map(({ address }) => address);
}
