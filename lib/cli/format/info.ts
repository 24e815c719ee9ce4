import type { InstanceInfo, SnapshotInfo, Usage } from "../../core/api/strata.ts";
import type { Disk, Mount } from "../../engine/contract.ts";
import { formatSize } from "../../size/format.ts";
import { type Palette, PLAIN, paintState } from "../colour.ts";
import { type Format, json, yaml } from "./format.ts";
import { infoCsv } from "./info-csv.ts";
import { type Infos, mountLines, runs } from "./infos.ts";
import { line, paintedLine } from "./line.ts";
import { shortGroup } from "./snapshot-list.ts";

/** What to say of the guests that did not answer. */
export function silentGuests({ instances }: Infos): string[] {
  return instances
    .filter(isSilent)
    .map(
      ({ name }) =>
        `the guest of "${name}" does not answer, so its load, disk usage and memory usage are not known`,
    );
}

function isSilent({ guestAnswered }: InstanceInfo): boolean {
  return guestAnswered === false;
}

export function formatInfo(infos: Infos, format: Format, palette: Palette = PLAIN): string {
  const errors = silentGuests(infos);
  switch (format) {
    case "json":
      return json({ errors, info: jsonInfo(infos) });
    case "yaml":
      return yaml({ errors: errors.length === 0 ? [null] : errors, ...listed(yamlInfo(infos)) });
    case "csv":
      return infoCsv(infos);
    case "table": {
      const blocks = [
        ...infos.instances.map((info) => instanceTable(info, palette)),
        ...infos.snapshots.map(snapshotTable),
      ];
      if (blocks.length > 0) {
        return blocks.join("\n");
      }
      return infos.onlySnapshots ? "No snapshots found.\n" : "No instances found.\n";
    }
  }
}

/** In YAML the disks of an instance are a list. */
function yamlInfo(infos: Infos): Record<string, object> {
  return Object.fromEntries(
    Object.entries(jsonInfo(infos)).map(([name, shown]) => [
      name,
      shown.disks == null
        ? shown
        : { ...shown, disks: Object.entries(shown.disks).map(([disk, used]) => ({ [disk]: used })) },
    ]),
  );
}

/** In YAML every instance is a list of one. */
function listed(info: Record<string, unknown>): Record<string, unknown[]> {
  return Object.fromEntries(Object.entries(info).map(([name, value]) => [name, [value]]));
}

/** `size`: what there is of it by the configuration, for a guest that does not tell. */
function usage(value: Usage | null, size: bigint): string {
  if (value === null) {
    return size === 0n ? "--" : `-- out of ${formatSize(size)}`;
  }
  return `${formatSize(value.used)} out of ${formatSize(value.total)}`;
}

/** What few instances have: another firmware than BIOS, a TPM. */
function machineLines({ firmware, tpm }: InstanceInfo): string[] {
  return [
    ...(firmware === null || firmware === "bios" ? [] : [line("Firmware", FIRMWARE_NAMES[firmware])]),
    ...(tpm === null ? [] : [line("TPM", tpm)]),
  ];
}

const FIRMWARE_NAMES = { uefi: "UEFI", "uefi-secure": "UEFI with Secure Boot" } as const;

/** A line for each disk beside the system disk; none where there is none, as before there could be any. */
function furtherDisks(disks: readonly Disk[] = []): string[] {
  const shown = disks.map(
    ({ name, size, excluded }) =>
      `${name} ${size === 0n ? "--" : formatSize(size)}${excluded === true ? ", excluded from snapshots" : ""}`,
  );
  return shown.length === 0 ? [] : [line("Further disks", ...shown)];
}

function jsonDisks(disks: readonly Disk[] = []): Record<string, unknown> {
  return Object.fromEntries(
    disks.map(({ name, size, excluded }) => [
      name,
      { total: String(size), ...(excluded === true ? { excluded } : {}) },
    ]),
  );
}

function instanceTable(info: InstanceInfo, palette: Palette): string {
  const running = runs(info);
  const image = [info.imageOs, info.imageRelease].filter(Boolean).join(" ") || "--";
  const hash = info.imageHash === "" ? "--" : `${info.imageHash.slice(0, 12)} (${image})`;
  return `${[
    line("Name", info.name),
    paintedLine("State", paintState(info.state, palette)),
    ...(info.resumes === null ? [] : [line("Resumes", `${info.name}.${info.resumes}`)]),
    ...(info.member === undefined ? [] : [line("Member", info.member)]),
    line("Snapshots", String(info.snapshotCount)),
    line("IPv4", ...(info.ipv4.length === 0 ? ["--"] : info.ipv4)),
    line("Release", (running && info.release) || "--"),
    line("Image hash", hash),
    line("CPU(s)", String(info.cpus)),
    ...machineLines(info),
    line("Load", info.load.length === 0 ? "--" : info.load.map((value) => value.toFixed(2)).join(" ")),
    line("Disk usage", usage(info.disk, info.resources.disk)),
    ...furtherDisks(info.resources.disks),
    line("Memory usage", usage(info.memory, info.resources.memory)),
    ...(info.readImageSize ? [line("Read image", formatSize(info.readImageSize))] : []),
    line("Mounts", ...mountLines(info.mounts)),
  ].join("\n")}\n`;
}

function sizeOf(size: bigint | null): string {
  return size === null ? "--" : formatSize(size);
}

function snapshotTable(info: SnapshotInfo): string {
  return `${[
    line("Snapshot", info.name),
    line("Instance", info.instance),
    line("Consistency", info.consistency),
    ...(info.group === null ? [] : [line("Group", shortGroup(info.group))]),
    line("Size", sizeOf(info.size)),
    ...(info.consistency === "memory" ? [line("Saved memory", sizeOf(info.memorySize))] : []),
    line("CPU(s)", String(info.cpus)),
    line("Disk space", formatSize(info.disk)),
    ...furtherDisks(info.disks),
    line("Memory size", formatSize(info.memory)),
    line("Mounts", ...mountLines(info.mounts)),
    line("Created", new Date(info.createdAt).toString().replace(/ GMT.*$/, "")),
    line("Parent", info.parent ?? "--"),
    line("Children", ...info.children),
    line("Comment", info.comment === "" ? "--" : info.comment),
  ].join("\n")}\n`;
}

function jsonInfo({ instances, snapshots }: Infos): Record<string, Record<string, unknown>> {
  const info: Record<string, Record<string, unknown>> = {};
  for (const instance of instances) {
    info[instance.name] = jsonInstance(instance);
  }
  for (const snapshot of snapshots) {
    const entry = info[snapshot.instance] ?? {};
    entry.snapshots = { ...(entry.snapshots as object | undefined), [snapshot.name]: jsonSnapshot(snapshot) };
    info[snapshot.instance] = entry;
  }
  return info;
}

function jsonMounts(mounts: readonly Mount[]): Record<string, unknown> {
  const maps = (list: Mount["uidMap"]) =>
    list.map(({ host, guest, default: isDefault }) => `${host}:${isDefault === true ? "default" : guest}`);
  return Object.fromEntries(
    mounts.map(({ target, source, uidMap, gidMap }) => [
      target,
      { uid_mappings: maps(uidMap), gid_mappings: maps(gidMap), source_path: source },
    ]),
  );
}

function jsonUsage(value: Usage | null): Record<string, unknown> {
  return value === null ? {} : { used: String(value.used), total: String(value.total) };
}

/**
 * Empty objects describe an instance that does not run; null stands for what is not known of a running one.
 */
function jsonUsages(info: InstanceInfo): Record<string, unknown> {
  if (isSilent(info)) {
    return { load: null, disks: null, memory: null };
  }
  const { load, disk, memory, resources } = info;
  return {
    load,
    disks: { sda1: jsonUsage(disk), ...jsonDisks(resources.disks) },
    memory: memory === null ? {} : { used: Number(memory.used), total: Number(memory.total) },
  };
}

function jsonInstance(info: InstanceInfo): Record<string, unknown> {
  return {
    state: info.state,
    ...(info.member === undefined ? {} : { member: info.member }),
    image_hash: info.imageHash,
    image_release: info.imageRelease,
    release: runs(info) ? info.release : "",
    cpu_count: runs(info) ? String(info.cpus) : "",
    snapshot_count: String(info.snapshotCount),
    ...jsonUsages(info),
    ...(info.firmware === null ? {} : { firmware: info.firmware }),
    ...(info.tpm === null ? {} : { tpm: info.tpm }),
    ...(info.resumes === null ? {} : { resumes: info.resumes }),
    read_image_size: info.readImageSize === null ? "" : String(info.readImageSize),
    ipv4: info.ipv4,
    mounts: jsonMounts(info.mounts),
  };
}

function jsonSnapshot(info: SnapshotInfo): Record<string, unknown> {
  return {
    size: info.size === null ? "" : String(info.size),
    cpu_count: String(info.cpus),
    disk_space: String(info.disk),
    ...(info.disks === undefined ? {} : { disks: jsonDisks(info.disks) }),
    memory_size: String(info.memory),
    mounts: Object.fromEntries(info.mounts.map(({ target, source }) => [target, { source_path: source }])),
    created: new Date(info.createdAt).toISOString(),
    parent: info.parent ?? "",
    children: info.children,
    comment: info.comment,
    consistency: info.consistency,
    ...(info.consistency === "memory" ? { saved_memory_size: String(info.memorySize ?? "") } : {}),
    ...(info.group === null ? {} : { group: info.group }),
  };
}
