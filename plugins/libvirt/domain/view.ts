import type { Disk, EngineState, Instance, InstanceRecord } from "../../../lib/engine/contract.ts";
import { defined } from "../../../lib/util/defined.ts";
import type { Managed } from "../engine.ts";
import { addressesOf, type LeaseReader } from "../network/networks.ts";
import type { Format } from "../qcow2/header.ts";
import { readImage } from "../qcow2/image.ts";
import { type Domain, DomainState, PausedReason } from "../rpc/index.ts";
import { writtenDisks } from "../xml/disks.ts";
import { readInterfaces } from "../xml/domain.ts";
import { readFirmware, readTpm } from "../xml/firmware.ts";
import type { Metadata } from "../xml/metadata.ts";
import { ownFormats } from "../xml/own-files.ts";
import { readResources } from "../xml/resources.ts";

/** A `DomainState` with its reason, such as a `PausedReason`. */
export interface ReasonedState {
  readonly state: number;
  readonly reason: number;
}

/** Where the states of domains are read from. */
export interface States {
  stateOf(domain: Domain): Promise<ReasonedState>;
  /** True if the memory of a guest that is not running is saved. */
  isSaved(domain: Domain): Promise<boolean>;
}

/** Asks libvirt about each domain. */
export const ASKED: States = {
  stateOf: (domain) => domain.getState(),
  isSaved: (domain) => domain.hasManagedSaveImage(),
};

/** A domain as the core sees it. */
export async function toInstance(
  managed: Managed,
  leases: LeaseReader,
  states: States = ASKED,
): Promise<Instance> {
  const { domain, document, metadata } = managed;
  const firmware = readFirmware(document);
  const tpm = readTpm(document)?.version;
  const [state, snapshotCount, [system, ...further]] = await Promise.all([
    readState(domain, metadata, states),
    domain.snapshotCount(),
    readDisks(managed),
  ]);
  return {
    id: domain.uuid,
    name: managed.name,
    state,
    resources: {
      ...readResources(document),
      disk: system?.size ?? 0n,
      ...(further.length === 0 ? {} : { disks: further }),
    },
    mounts: metadata.mounts,
    nics: readInterfaces(document).slice(1),
    record: visibleRecord(metadata),
    addresses: state === "running" ? await addressesOf(managed, leases) : [],
    snapshotCount,
    ...(firmware === undefined ? {} : { firmware }),
    ...(tpm === undefined ? {} : { tpm }),
    ...(state === "suspended" ? defined({ resumes: metadata.resume?.snapshot }) : {}),
    ...(metadata.operation?.kind === "purge" ? { removing: true } : {}),
  };
}

/** An interrupted removal counts as deleted; purge finishes it. */
export function visibleRecord({ operation, record }: Metadata): InstanceRecord {
  return operation?.kind === "purge" ? { ...record, deleted: true } : record;
}

/** The state in the contract's terms. */
export async function readState(
  domain: Domain,
  { operation, resume }: Pick<Metadata, "operation" | "resume">,
  { stateOf, isSaved }: States,
): Promise<EngineState> {
  if (operation?.kind === "create") {
    return "starting";
  }
  const now = await stateOf(domain);
  switch (now.state) {
    case DomainState.RUNNING:
    case DomainState.BLOCKED:
      return "running";
    case DomainState.SHUTDOWN:
      return "stopping";
    case DomainState.PAUSED:
      return pausedState(now.reason);
    case DomainState.PMSUSPENDED:
      return "suspended";
    case DomainState.SHUTOFF:
    case DomainState.CRASHED:
      return resume !== undefined || (await isSaved(domain)) ? "suspended" : "stopped";
    default:
      return "unknown";
  }
}

/** QEMU pauses a guest for a moment as it comes and goes; that is not what a user calls suspended. */
function pausedState(reason: number): EngineState {
  switch (reason) {
    case PausedReason.STARTING_UP:
      return "starting";
    case PausedReason.SAVE:
      return "suspending";
    case PausedReason.SHUTTING_DOWN:
      return "stopping";
    default:
      return "suspended";
  }
}

/** The disks that the guest writes, the system disk first. */
async function readDisks({ domain, document, metadata }: Managed): Promise<Disk[]> {
  const formats = ownFormats(document, metadata);
  return Promise.all(
    writtenDisks(document, metadata).map(async ({ target, file, left }) => ({
      name: target,
      size: await diskSize(domain, target, { file, format: formats.get(file) ?? "qcow2" }),
      ...(left === undefined ? {} : { excluded: true as const }),
    })),
  );
}

/** Virtual size of a disk; 0 if it is unknown. libvirt reads it for users who may not read the file. */
async function diskSize(
  domain: Domain,
  target: string,
  { file, format }: { readonly file: string; readonly format: Format },
): Promise<bigint> {
  try {
    return (await readImage(file, format)).virtualSize;
  } catch {
    return domain.blockInfo(target).then(
      (info) => info.capacity,
      () => 0n,
    );
  }
}

/** True if the next start of a domain that is shut off would load memory: saved by libvirt, or a snapshot's. */
export async function hasSavedMemory({ domain, metadata }: Managed): Promise<boolean> {
  return metadata.resume !== undefined || domain.hasManagedSaveImage();
}

/** True if the domain is shut off without saved memory: no guest refers to the files of its chain. */
export async function isShutOff({ domain }: Managed): Promise<boolean> {
  return (await domain.getState()).state === DomainState.SHUTOFF && !(await domain.hasManagedSaveImage());
}
