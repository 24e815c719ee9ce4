import type { Disk, Resources } from "../../engine/contract.ts";
import type { StrataEvent } from "../api/strata.ts";

/** Disks whose sizes cannot be told now with those that were last known. */
export function withKnownSizes(disks: readonly Disk[], before: readonly Disk[] = []): Disk[] {
  return disks.map((disk) => {
    const known = before.find(({ name }) => name === disk.name);
    return disk.size === 0n && known !== undefined ? { ...disk, size: known.size } : disk;
  });
}

/** What must have happened to further disks between two readings of an instance. */
export function* diskDifferences(
  about: { readonly at: number; readonly instance: string },
  { disks: was = [] }: Resources,
  { disks: is = [] }: Resources,
): Generator<StrataEvent> {
  for (const { name } of was.filter(isNotIn(is))) {
    yield { ...about, kind: "disk-remove", disk: name };
  }
  for (const { name: disk, size } of is.filter(isNotIn(was))) {
    yield { ...about, kind: "disk-add", disk, size };
  }
  for (const { name: disk, size, excluded } of is) {
    const before = was.find(({ name }) => name === disk);
    if (before === undefined) {
      continue;
    }
    if (before.size !== 0n && before.size !== size) {
      yield { ...about, kind: "disk-resize", disk, size };
    }
    if (before.excluded !== excluded) {
      yield { ...about, kind: excluded === true ? "disk-exclude" : "disk-include", disk };
    }
  }
}

function isNotIn(others: readonly Disk[]): (disk: Disk) => boolean {
  return ({ name }) => others.every((other) => other.name !== name);
}
