import type { PackedState } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { requireShutOff } from "../lifecycle/power.ts";
import { listSnapshots, lookupSnapshot } from "../snapshots/records.ts";
import { type CoveredDisk, coveredDisks, writtenDisks } from "../xml/disks.ts";
import { type Element, elements, find } from "../xml/document.ts";
import { readInterfaces } from "../xml/domain.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";

/** What of an instance leaves its host. */
export interface State {
  /** The domain, or the one that the snapshot has recorded. */
  readonly domain: Element;
  /** Its disks, by the layers that have their contents; the system disk first. */
  readonly covered: readonly CoveredDisk[];
  /** The snapshots that go along. */
  readonly snapshots: readonly SnapshotDocument[];
  /** What stays here, for the user. */
  readonly left: readonly string[];
}

/** A stopped instance with its snapshots, or what a snapshot has of it. */
export async function readState(managed: Managed, { snapshot }: PackedState): Promise<State> {
  const { document, metadata } = managed;
  if (snapshot !== undefined) {
    return ofSnapshot(managed, snapshot);
  }
  await requireShutOff(managed, "Only stopped instances can be exported");
  return wholeState(managed, coveredDisks(document, metadata));
}

/** An instance with its snapshots, whose disks have these layers. */
export async function wholeState(managed: Managed, covered: readonly CoveredDisk[]): Promise<State> {
  const { document, metadata, domain } = managed;
  const snapshots = await listSnapshots(domain);
  const memory = snapshots
    .filter((snapshot) => snapshot.memory !== "")
    .map(({ name }) => `the memory of snapshot ${name}`);
  return { domain: document, covered, snapshots, left: [...leftOf(document, metadata), ...memory] };
}

async function ofSnapshot({ name, document, metadata, domain }: Managed, snapshot: string): Promise<State> {
  const found = await lookupSnapshot(domain, snapshot);
  if (found === null) {
    throw failure("SNAPSHOT_NOT_FOUND", { name, snapshot });
  }
  const { targets, frozen, memory } = found;
  if (targets.length === 0) {
    const reason = `snapshot "${snapshot}" is not one of disks`;
    throw failure("UNSUPPORTED", { what: "exporting it", engine: "libvirt", reason });
  }
  const recorded = found.domain ?? document;
  return {
    domain: recorded,
    covered: targets.map((target, at) => ({ target, file: frozen[at] ?? "" })),
    snapshots: [],
    left: [...leftOf(recorded, metadata), ...(memory === "" ? [] : ["the memory of the snapshot"])],
  };
}

function leftOf(domain: Element, { excluded, target, mounts }: Managed["metadata"]): string[] {
  const own = {
    ...(excluded === undefined ? {} : { excluded }),
    ...(target === undefined ? {} : { target }),
  };
  const disks = writtenDisks(domain, own).filter(({ left }) => left !== undefined);
  const hasMedium = elements(find(domain, "devices"), "disk").some(
    (disk) => disk.attributes.device === "cdrom" && find(disk, "source") !== undefined,
  );
  return [
    ...disks.map(({ target }) => `disk ${target}, which is excluded`),
    ...mounts.map(({ target }) => `the mount at ${target}`),
    ...readInterfaces(domain)
      .slice(1)
      .map(({ network }) => `the interface on network ${network}`),
    ...(hasMedium ? ["the medium in its drive"] : []),
  ];
}
