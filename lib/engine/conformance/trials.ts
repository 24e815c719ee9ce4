import { planRemoval } from "../../core/snapshots/plan.ts";
import type { Feature, Instance } from "../contract.ts";
import { diskGroupOf, EXTRA_DISKS } from "./disk-model.ts";
import { context, type Fixture, lockOf, MIB, take } from "./fixture.ts";

/** A change that is tried with a fault at each of its steps. */
export interface Trial {
  readonly what: string;
  /** Done before, with the instance stopped. */
  readonly ready?: Work;
  /** Whether the instance runs when the work begins. */
  readonly runs?: true;
  readonly work: Work;
}

export type Work = (fixture: Fixture, instance: Instance) => Promise<void>;

const changes: Readonly<Record<string, Work>> = {
  "a snapshot that is taken": (fixture, instance) => take(fixture, instance, "new"),
  "a restore": ({ engine }, { id }) => engine.snapshots.restore(lockOf(id), "first", context()),
  "a deletion": async ({ engine }, { id }) => {
    const removal = planRemoval(await engine.snapshots.tree(id), "first");
    if (removal !== undefined) {
      await engine.snapshots.delete(lockOf(id), removal, context());
    }
  },
  "a rename": ({ engine }, { id }) => engine.snapshots.rename(lockOf(id), "first", "renamed", context()),
  "a resize": ({ engine }, { id }) =>
    engine.instances.resize(lockOf(id), { cpus: 3, memory: 512n * MIB }, context()),
};

/** Those of further disks, in an instance that has some; each is about the last of them, which no snapshot has. */
const diskChanges: Readonly<Record<string, Work>> = {
  "a disk that is added": async (fixture, { id }) => {
    await diskGroupOf(fixture).add(lockOf(id), EXTRA_DISKS[0], context());
  },
  "a disk that is removed": async (fixture, instance) =>
    diskGroupOf(fixture).remove(lockOf(instance.id), await lastDisk(fixture, instance), context()),
  "a disk that is left out": async (fixture, instance) =>
    diskGroupOf(fixture).exclude(lockOf(instance.id), await lastDisk(fixture, instance), true, context()),
  "disks that grow": async ({ engine }, { id, name }) => {
    const disks = (await engine.instances.find(name))?.resources.disks ?? [];
    const grown = disks.map((disk) => ({ name: disk.name, size: disk.size + 4n * MIB }));
    await engine.instances.resize(lockOf(id), { cpus: 3, disks: grown }, context());
  },
};

/** Those of an instance that runs. */
const runningTrials: readonly Trial[] = [
  {
    what: "a snapshot of a running instance",
    runs: true,
    work: (fixture, instance) => take(fixture, instance, "new", { consistency: "crash" }),
  },
  {
    what: "a snapshot that cuts the power",
    runs: true,
    work: (fixture, instance) => take(fixture, instance, "new", { consistency: "crash", cut: true }),
  },
];

/** Those with the memory of a guest. */
const memoryTrials: readonly Trial[] = [
  {
    what: "a snapshot with memory",
    runs: true,
    work: (fixture, instance) => take(fixture, instance, "new", { consistency: "memory" }),
  },
  { what: "a restore with memory", ready: takeMemory, work: restoreMemory },
  {
    what: "a start that resumes",
    async ready(fixture, instance) {
      await takeMemory(fixture, instance);
      await restoreMemory(fixture, instance);
    },
    work: ({ engine }, { id }) => engine.instances.start(lockOf(id), context()),
  },
];

/** All that the engine's features give. */
export function trialsOf(features: ReadonlySet<Feature>): readonly Trial[] {
  const stopped = { ...changes, ...(features.has("disks") ? diskChanges : {}) };
  return [
    ...Object.entries(stopped).map(([what, work]) => ({ what, work })),
    ...(features.has("snapshot.running") ? runningTrials : []),
    ...(features.has("snapshot.memory") ? memoryTrials : []),
  ];
}

async function takeMemory(fixture: Fixture, instance: Instance): Promise<void> {
  const { instances } = fixture.engine;
  await instances.start(lockOf(instance.id), context());
  await take(fixture, instance, "memory", { consistency: "memory" });
  await instances.stop(lockOf(instance.id), "force", context());
}

function restoreMemory({ engine }: Fixture, { id }: Instance): Promise<void> {
  return engine.snapshots.restore(lockOf(id), "memory", context(), { memory: true });
}

async function lastDisk({ engine }: Fixture, { name }: Instance): Promise<string> {
  return (await engine.instances.find(name))?.resources.disks?.at(-1)?.name ?? "";
}
