import type { Disk } from "../contract.ts";
import { context, type Fixture, lockOf, MIB } from "./fixture.ts";

/** A further disk as the plain model has it. */
export interface DiskState {
  readonly size: bigint;
  /** What `read` of the fixture gives. */
  readonly contents: string;
  readonly excluded: boolean;
}

export type DiskStates = ReadonlyMap<string, DiskState>;

/** Sizes of the further disks that tests have, large enough for whatever `write` of a fixture writes. */
export const EXTRA_DISKS = [16n * MIB, 24n * MIB] as const;

/** What a restore makes of the disks of now, where a snapshot was taken with those of then. */
export function restoredDisks(now: DiskStates, then: DiskStates): DiskStates {
  const kept = [...now].filter(([name, { excluded }]) => excluded || then.get(name)?.excluded === true);
  const names = new Set(kept.map(([name]) => name));
  const back = [...then].filter(([name, { excluded }]) => !excluded && !names.has(name));
  return new Map([...kept, ...back]);
}

/** The disks as an engine tells them, by name. */
export function toldDisks(states: DiskStates): readonly Disk[] {
  return disksInOrder(
    [...states].map(([name, { size, excluded }]) => (excluded ? { name, size, excluded } : { name, size })),
  );
}

export function disksInOrder(disks: readonly Disk[] = []): readonly Disk[] {
  return [...disks].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** All further disks of an instance, read. */
export async function readDisks(
  fixture: Fixture,
  instance: Parameters<Fixture["read"]>[0],
): Promise<DiskStates> {
  const { name, resources } = (await fixture.engine.instances.find(instance.name)) ?? instance;
  const states = new Map<string, DiskState>();
  for (const { name: disk, size, excluded = false } of resources.disks ?? []) {
    states.set(disk, { size, excluded, contents: await fixture.read({ ...instance, name }, disk) });
  }
  return states;
}

export function diskGroupOf({ engine }: Pick<Fixture, "engine">) {
  if (engine.disks === undefined) {
    throw new Error("the engine declares disks and does not have them");
  }
  return engine.disks;
}

/** One step of a random sequence with a further disk; `pick` chooses among those that are there when it runs. */
export interface DiskStep {
  readonly kind: "disk";
  readonly change: "add" | "remove" | "exclude" | "grow";
  readonly pick: number;
}

/** Does a step, and gives what the model then has. A disk that a snapshot has is not removed. */
export async function stepDisks(
  fixture: Fixture,
  instance: Parameters<Fixture["read"]>[0],
  { change, pick }: DiskStep,
  states: DiskStates,
  snapshots: Iterable<{ readonly disks: DiskStates }>,
): Promise<DiskStates> {
  const group = diskGroupOf(fixture);
  const lock = lockOf(instance.id);
  const changed = new Map(states);
  if (change === "add") {
    if (states.size < 4) {
      const { name, size } = await group.add(lock, EXTRA_DISKS[0], context());
      changed.set(name, { size, excluded: false, contents: await fixture.read(instance, name) });
    }
    return changed;
  }
  const [name, state] = [...states][pick % Math.max(1, states.size)] ?? [];
  if (name === undefined || state === undefined) {
    return states;
  }
  switch (change) {
    case "remove":
      if ([...snapshots].every(({ disks }) => disks.get(name)?.excluded !== false)) {
        await group.remove(lock, name, context());
        changed.delete(name);
      }
      return changed;
    case "exclude":
      await group.exclude(lock, name, !state.excluded, context());
      return changed.set(name, { ...state, excluded: !state.excluded });
    case "grow": {
      if (state.excluded) {
        return states;
      }
      const size = state.size + 4n * MIB;
      await fixture.engine.instances.resize(lock, { disks: [{ name, size }] }, context());
      return changed.set(name, { ...state, size, contents: await fixture.read(instance, name) });
    }
  }
}
