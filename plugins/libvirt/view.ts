import type { EngineState, Instance, InstanceRecord } from "../../lib/backend/contract.ts";
import type { Managed } from "./engine.ts";
import { addressesOf, type LeaseReader } from "./networks.ts";
import { readHeader } from "./qcow2-header.ts";
import { DomainState } from "./rpc/index.ts";
import { ROOT_DISK, readDisk, readInterfaces, readResources } from "./xml/domain.ts";
import type { Metadata } from "./xml/metadata.ts";

/** A domain as the core sees it. */
export async function toInstance(managed: Managed, leases: LeaseReader): Promise<Instance> {
  const { domain, document, metadata } = managed;
  const [state, snapshotCount, disk] = await Promise.all([
    readState(
      metadata,
      async () => (await domain.getState()).state,
      () => domain.hasManagedSaveImage(),
    ),
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
    record: visibleRecord(metadata),
    addresses: state === "running" ? await addressesOf(managed, leases) : [],
    snapshotCount,
  };
}

/** A removal that died is one that was asked for: purge finishes it. */
export function visibleRecord({ operation, record }: Metadata): InstanceRecord {
  return operation?.kind === "purge" ? { ...record, deleted: true } : record;
}

/** The state as the contract has it, of what libvirt tells when it is asked. */
export async function readState(
  { operation }: Pick<Metadata, "operation">,
  state: () => Promise<number>,
  isSaved: () => Promise<boolean>,
): Promise<EngineState> {
  if (operation?.kind === "create") return "starting";
  switch (await state()) {
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
      return (await isSaved()) ? "suspended" : "stopped";
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
