import type { InstanceInfo, InstanceSummary, SnapshotInfo, Usage } from "../../core/api/strata.ts";
import type { Disk, Mount } from "../../engine/contract.ts";

/** An object of typed JSON: numbers are numbers, sizes bytes, times ISO 8601 in UTC. */
export type Typed = Readonly<Record<string, unknown>>;

/** What is known of an instance without more than a list. */
export const SUMMARY_FIELDS = ["name", "engine", "member", "state", "ipv4", "release"] as const;

/** What else is known of it, without asking its guest. */
export const INSTANCE_FIELDS = [
  ...SUMMARY_FIELDS,
  "id",
  "created",
  "image",
  "cpus",
  "memory",
  "disk",
  "disks",
  "hostDisk",
  "macs",
  "autostart",
  "mounts",
  "snapshots",
  "resumes",
] as const;

/** The same with what only its guest knows. */
export const INFO_FIELDS = [...INSTANCE_FIELDS, "guest"] as const;

export const SNAPSHOT_FIELDS = [
  "instance",
  "name",
  "parent",
  "children",
  "comment",
  "created",
  "cpus",
  "memory",
  "disk",
  "disks",
  "size",
  "mounts",
  "consistency",
  "memorySize",
  "group",
] as const;

export function typedSummary({ name, engine, member, state, ipv4, release }: InstanceSummary): Typed {
  return { name, engine, member: member ?? null, state, ipv4, release };
}

export function typedInstance(info: InstanceInfo): Typed {
  const { imageHash: sha256, imageOs: os, imageRelease: release, resources } = info;
  return {
    ...typedSummary(info),
    id: info.id,
    created: new Date(info.createdAt).toISOString(),
    image: { sha256, os, release },
    cpus: resources.cpus,
    memory: number(resources.memory),
    disk: number(resources.disk),
    disks: typedDisks(resources.disks),
    hostDisk: number(info.hostDisk),
    macs: info.macs,
    autostart: info.autostart,
    mounts: info.mounts.map(typedMount),
    snapshots: info.snapshotCount,
    resumes: info.resumes,
    guest:
      info.guestAnswered === true
        ? { load: info.load, memory: typedUsage(info.memory), disk: typedUsage(info.disk) }
        : null,
  };
}

export function typedSnapshot(info: SnapshotInfo): Typed {
  const { instance, name, parent, children, comment, cpus, consistency, group } = info;
  return {
    instance,
    name,
    parent,
    children,
    comment,
    created: new Date(info.createdAt).toISOString(),
    cpus,
    memory: number(info.memory),
    disk: number(info.disk),
    disks: typedDisks(info.disks),
    size: number(info.size),
    mounts: info.mounts.map(typedMount),
    consistency,
    memorySize: number(info.memorySize),
    group,
  };
}

/** Each with whether snapshots leave it out. */
export function typedDisks(
  disks: readonly (Pick<Disk, "name" | "size"> & { readonly excluded?: boolean })[] = [],
): readonly Typed[] {
  return disks.map(({ name, size, excluded = false }) => ({ name, size: number(size), excluded }));
}

function typedMount({ source, target, type, uidMap, gidMap }: Mount): Typed {
  return { source, target, type, uidMap, gidMap };
}

function typedUsage(usage: Usage | null): Typed | null {
  return usage === null ? null : { used: number(usage.used), total: number(usage.total) };
}

/** JSON has no larger whole numbers than 2^53 - 1, which are 8 PiB. */
function number(size: bigint | null): number | null {
  return size === null ? null : Number(size);
}
