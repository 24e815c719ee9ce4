import type { Disk, Disks, ResourceChange, Resources } from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { goOn, type Locks, lockedInstance, requireStopped } from "./lock.ts";
import type { Contents, StoredInstance, StoredSnapshot, World } from "./world.ts";

/** Further disks of a new instance, as "vdb", "vdc"; absent where there is none. */
export function newDisks(sizes: readonly bigint[] = []): { readonly disks?: readonly Disk[] } {
  const disks: Disk[] = [];
  for (const size of sizes) {
    disks.push({ name: freeName(disks), size });
  }
  return disksOf(disks);
}

export function diskGroup(world: World, locks: Locks): Disks {
  return {
    async add(lock, size, context) {
      const stored = await lockedInstance(world, locks, lock);
      requireStopped(stored, "Disks can be added only to stopped instances");
      goOn(context);
      // A name that a snapshot has is that of another disk, which a restore brings back.
      const taken = [stored, ...stored.snapshots].flatMap(({ resources }) => resources.disks ?? []);
      const disk = { name: freeName(taken), size };
      world.step("add a disk");
      await world.put(withDisks(stored, [...(stored.resources.disks ?? []), disk]));
      return disk;
    },
    async remove(lock, name, context) {
      const stored = await lockedInstance(world, locks, lock);
      requireStopped(stored, "Disks can be removed only from stopped instances");
      goOn(context);
      requireDisk(stored, name);
      const holder = stored.snapshots.find(({ resources }) => covers(resources, name));
      if (holder !== undefined) {
        throw failure("DISK_IN_SNAPSHOT", { name: stored.name, disk: name, snapshot: holder.name });
      }
      world.step("remove a disk");
      await world.put(withDisks(stored, (stored.resources.disks ?? []).filter(isNot(name))));
    },
    async exclude(lock, name, excluded, context) {
      const stored = await lockedInstance(world, locks, lock);
      goOn(context);
      const { size } = requireDisk(stored, name);
      const changed = excluded ? { name, size, excluded } : { name, size };
      world.step("exclude a disk");
      await world.put(withDisks(stored, replaced(stored.resources.disks ?? [], changed)));
    },
  };
}

/** The disks of an instance once the named ones have their new sizes; rejects what is not there or would shrink. */
export function grownDisks(
  stored: StoredInstance,
  changes: NonNullable<ResourceChange["disks"]>,
): { readonly disks?: readonly Disk[] } {
  let disks = stored.resources.disks ?? [];
  for (const { name, size } of changes) {
    const disk = requireDisk(stored, name);
    if (size < disk.size) {
      const { name: instance } = stored;
      throw failure("DISK_SHRINK", { name: instance, disk: name, current: disk.size, wanted: size });
    }
    disks = replaced(disks, { ...disk, size });
  }
  return disksOf(disks);
}

/**
 * What an instance has of further disks once it is restored: those that the snapshot covers, with their contents of
 * then, and, as they are now, those that are excluded, or were when it was taken. All others leave.
 */
export function restoredDisks(
  { resources: now, further: written = {} }: StoredInstance,
  { resources: then, further: saved = {} }: StoredSnapshot,
): Pick<StoredInstance, "resources" | "further"> {
  const { disks: _, ...resources } = then;
  const stays = ({ name, excluded }: Disk) =>
    excluded === true || (!covers(then, name) && (then.disks ?? []).some((disk) => disk.name === name));
  const kept = (now.disks ?? []).filter(stays);
  const back = (then.disks ?? []).filter(
    ({ name, excluded }) => excluded !== true && kept.every(isNot(name)),
  );
  const disks = [...kept, ...back].sort(byName);
  const further = { ...picked(written, kept), ...picked(saved, back) };
  return { resources: { ...resources, ...disksOf(disks) }, further };
}

/** What snapshots and clones have of an instance: all further disks but the excluded ones. */
export function coveredDisks({ resources, further = {} }: StoredInstance): {
  readonly resources: Resources;
  readonly further: Readonly<Record<string, Contents>>;
} {
  const { disks = [], ...others } = resources;
  const covered = disks.filter(({ excluded }) => excluded !== true);
  return { resources: { ...others, ...disksOf(covered) }, further: picked(further, covered) };
}

/** Contents of disks that are not there any more go with them. */
function withDisks(stored: StoredInstance, disks: readonly Disk[]): StoredInstance {
  const { disks: _, ...resources } = stored.resources;
  return {
    ...stored,
    resources: { ...resources, ...disksOf(disks) },
    further: picked(stored.further ?? {}, disks),
  };
}

function disksOf(disks: readonly Disk[]): { readonly disks?: readonly Disk[] } {
  return disks.length === 0 ? {} : { disks };
}

function picked(
  contents: Readonly<Record<string, Contents>>,
  disks: readonly Disk[],
): Readonly<Record<string, Contents>> {
  return Object.fromEntries(disks.map(({ name }) => [name, contents[name] ?? {}]));
}

function replaced(disks: readonly Disk[], changed: Disk): readonly Disk[] {
  return disks.map((disk) => (disk.name === changed.name ? changed : disk));
}

function requireDisk({ name, resources }: StoredInstance, disk: string): Disk {
  const found = resources.disks?.find((each) => each.name === disk);
  if (found === undefined) {
    throw failure("DISK_NOT_FOUND", { name, disk });
  }
  return found;
}

function covers({ disks = [] }: Resources, name: string): boolean {
  return disks.some((disk) => disk.name === name && disk.excluded !== true);
}

function isNot(name: string): (disk: Disk) => boolean {
  return (disk) => disk.name !== name;
}

const LETTERS = [..."abcdefghijklmnopqrstuvwxyz"];

/** The system disk is vda; after vdz comes vdaa. */
function freeName(disks: readonly Disk[]): string {
  const taken = new Set(["vda", ...disks.map(({ name }) => name)]);
  const names = ["", ...LETTERS].flatMap((first) => LETTERS.map((second) => `vd${first}${second}`));
  const free = names.find((name) => !taken.has(name));
  if (free === undefined) {
    throw failure("ENGINE_ERROR", { engine: "memory", reason: "there is no name left for another disk" });
  }
  return free;
}

function byName(a: Disk, b: Disk): number {
  return a.name.length - b.name.length || (a.name < b.name ? -1 : 1);
}
