import type { Disk, Mount } from "../../engine/contract.ts";
import { csvField, csvLines } from "./cell.ts";
import { type Infos, mountLines, runs } from "./infos.ts";

/** The instances and, below an empty line, the snapshots. */
export function infoCsv({ instances, snapshots, onlySnapshots }: Infos): string {
  const parts: string[] = [];
  const mounts = (list: readonly Mount[]) => csvField(mountLines(list).join(";"));
  if (instances.length > 0 || (snapshots.length === 0 && !onlySnapshots)) {
    parts.push(
      csvLines([
        "Name,State,Ipv4,Release,Image hash,Image release,Load,Disk usage,Disk total,Memory usage,Memory total,Mounts,AllIPv4,CPU(s),Snapshots,Further disks".split(
          ",",
        ),
        ...instances.map((info) => [
          info.name,
          info.state,
          info.ipv4[0] ?? "",
          csvField(runs(info) ? info.release : ""),
          info.imageHash,
          csvField(info.imageRelease),
          info.load.join(" "),
          String(info.disk?.used ?? ""),
          String(info.disk?.total ?? ""),
          String(info.memory?.used ?? ""),
          String(info.memory?.total ?? ""),
          mounts(info.mounts),
          csvField(info.ipv4.join(",")),
          runs(info) ? String(info.cpus) : "",
          String(info.snapshotCount),
          furtherDisks(info.resources.disks),
        ]),
      ]),
    );
  }
  if (snapshots.length > 0 || onlySnapshots) {
    parts.push(
      csvLines([
        "Snapshot,Instance,CPU(s),Disk space,Memory size,Mounts,Created,Parent,Children,Comment,Consistency,Saved memory,Group,Further disks".split(
          ",",
        ),
        ...snapshots.map((info) => [
          info.name,
          info.instance,
          String(info.cpus),
          String(info.disk),
          String(info.memory),
          mounts(info.mounts),
          new Date(info.createdAt).toISOString(),
          info.parent ?? "",
          info.children.join(";"),
          csvField(info.comment, true),
          info.consistency,
          String(info.memorySize ?? ""),
          info.group ?? "",
          furtherDisks(info.disks),
        ]),
      ]),
    );
  }
  return parts.join("\n");
}

/** `vdb 21474836480;vdc 5368709120 excluded`: the size in bytes, nothing for one that is not known. */
function furtherDisks(disks: readonly Disk[] = []): string {
  return csvField(
    disks
      .map(({ name, size, excluded }) =>
        [name, ...(size === 0n ? [] : [size]), ...(excluded === true ? ["excluded"] : [])].join(" "),
      )
      .join(";"),
  );
}
