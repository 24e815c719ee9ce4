import type { Disk } from "../../engine/contract.ts";
import { formatSize } from "../../size/format.ts";
import type { DiskChange } from "../api/strata.ts";

/**
 * What restoring a snapshot does with the further disks of an instance, where that is more than bringing back what
 * they held: it gets those that the snapshot covers, and keeps the excluded ones as they are.
 */
export function diskChanges(
  snapshot: string,
  now: readonly Disk[] = [],
  then: readonly Disk[] = [],
): DiskChange[] {
  const recorded = new Map(then.map((disk) => [disk.name, disk]));
  const here = new Set(now.map(({ name }) => name));
  const present = now.flatMap((disk) => changeOf(disk, recorded.get(disk.name), snapshot));
  const back = then
    .filter(({ name, excluded }) => excluded !== true && !here.has(name))
    .map((disk) => described(disk, "returns", "comes back"));
  return [...present, ...back].sort((a, b) => (a.disk < b.disk ? -1 : 1));
}

/** Nothing for a disk that is simply brought back to what it held. */
function changeOf(disk: Disk, then: Disk | undefined, snapshot: string): DiskChange[] {
  if (disk.excluded === true) {
    return [described(disk, "kept", "stays as it is now: it is excluded")];
  }
  if (then === undefined) {
    return [described(disk, "leaves", `is removed: ${snapshot} does not have it`)];
  }
  return then.excluded === true
    ? [described(disk, "kept", `stays as it is now: it was excluded when ${snapshot} was taken`)]
    : [];
}

function described({ name, size }: Disk, change: DiskChange["change"], what: string): DiskChange {
  const shown = size === 0n ? name : `${name} (${formatSize(size)})`;
  return { disk: name, size, change, detail: `disk ${shown} ${what}` };
}
