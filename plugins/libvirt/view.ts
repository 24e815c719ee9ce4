import type { EngineState, Instance } from "../../lib/backend/contract.ts";
import type { Managed } from "./engine.ts";
import { addressesOf, type LeaseReader } from "./networks.ts";
import { readHeader } from "./qcow2-header.ts";
import { DomainState } from "./rpc/index.ts";
import { ROOT_DISK, readDisk, readInterfaces, readResources } from "./xml/domain.ts";

/** A domain as the core sees it. */
export async function toInstance(managed: Managed, leases: LeaseReader): Promise<Instance> {
  const { domain, document, metadata } = managed;
  const [state, snapshotCount, disk] = await Promise.all([
    readState(managed),
    domain.snapshotCount(),
    diskSize(managed),
  ]);
  return {
    id: domain.uuid,
    name: managed.name,
    state,
    resources: { ...readResources(document), disk },
    mounts: metadata.mounts,
    nics: readInterfaces(document).slice(1),
    // A removal that died is one that was asked for: purge finishes it.
    record: metadata.operation?.kind === "purge" ? { ...metadata.record, deleted: true } : metadata.record,
    addresses: state === "running" ? await addressesOf(managed, leases) : [],
    snapshotCount,
  };
}

async function readState({ domain, metadata }: Managed): Promise<EngineState> {
  if (metadata.operation?.kind === "create") return "starting";
  const { state } = await domain.getState();
  switch (state) {
    case DomainState.RUNNING:
    case DomainState.BLOCKED:
      return "running";
    case DomainState.SHUTDOWN:
      return "stopping";
    case DomainState.PAUSED:
    case DomainState.PMSUSPENDED:
      return "suspended";
    case DomainState.SHUTOFF:
    case DomainState.CRASHED:
      return (await domain.hasManagedSaveImage()) ? "suspended" : "stopped";
    default:
      return "unknown";
  }
}

/** Virtual size of the head layer; 0 where it cannot be told. libvirt reads it for those who may not. */
async function diskSize({ domain, document }: Managed): Promise<bigint> {
  try {
    return (await readHeader(readDisk(document))).virtualSize;
  } catch {
    return domain.blockInfo(ROOT_DISK).then(
      (info) => info.capacity,
      () => 0n,
    );
  }
}
