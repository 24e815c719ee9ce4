import { planRemoval } from "../../lib/core/snapshots/plan.ts";
import { cloneSpec } from "../../lib/engine/conformance/clone.ts";
import { context, newSpec } from "../../lib/engine/conformance/fixture.ts";
import type {
  Consistency,
  Engine,
  Firmware,
  GroupMember,
  ImageSource,
  Lock,
  SnapshotRecord,
  Snapshots,
} from "../../lib/engine/contract.ts";

/** One operation on the instance `on`, as plain data: it is sent to another process. */
export type Verb =
  | {
      readonly kind: "take";
      readonly on: string;
      readonly name: string;
      readonly createdAt: number;
      readonly consistency?: Consistency;
      readonly cut?: boolean;
    }
  /** Of this instance and others at one moment, of each as if its power had been cut. */
  | {
      readonly kind: "take group";
      readonly on: string;
      readonly others: readonly string[];
      readonly name: string;
      readonly createdAt: number;
    }
  | { readonly kind: "restore"; readonly on: string; readonly name: string; readonly memory?: boolean }
  | { readonly kind: "delete"; readonly on: string; readonly name: string }
  | { readonly kind: "rename"; readonly on: string; readonly name: string; readonly to: string }
  | { readonly kind: "comment"; readonly on: string; readonly name: string; readonly text: string }
  | { readonly kind: "resize"; readonly on: string; readonly cpus: number; readonly mebibytes: number }
  | { readonly kind: "add disk"; readonly on: string; readonly mebibytes: number }
  | { readonly kind: "remove disk"; readonly on: string; readonly disk: string }
  | { readonly kind: "exclude disk"; readonly on: string; readonly disk: string }
  | { readonly kind: "grow disk"; readonly on: string; readonly disk: string; readonly mebibytes: number }
  | { readonly kind: "mark"; readonly on: string }
  | { readonly kind: "release"; readonly on: string }
  | { readonly kind: "start"; readonly on: string }
  | { readonly kind: "suspend"; readonly on: string }
  /** `grace` in ms. */
  | { readonly kind: "stop"; readonly on: string; readonly grace: number | "force" }
  | { readonly kind: "optimize"; readonly on: string }
  | { readonly kind: "clone"; readonly on: string; readonly name: string }
  | { readonly kind: "purge"; readonly on: string }
  | {
      readonly kind: "launch";
      readonly on: string;
      readonly image: Image;
      readonly firmware?: Firmware;
      /** How many disks it has beside the system disk. */
      readonly further?: number;
    }
  /** Whatever doctor would repair, anywhere. */
  | { readonly kind: "repair"; readonly on: string }
  /** One of the ways that doctor gives to choose from. */
  | {
      readonly kind: "choose";
      readonly on: string;
      readonly finding: string;
      readonly subject: string;
      readonly choice: string;
    };

/** An `ImageSource` that survives JSON. */
export type Image = Omit<ImageSource, "virtualSize">;

export const MIB = 1024n ** 2n;
/** Virtual size of every disk here. */
export const DISK = 9n * MIB;

/** Does it as the core does: under a lock, with the tree that is there then. */
export async function perform(
  engine: Engine,
  verb: Verb,
  wait = 60_000,
  journal: (what: "begin" | "end") => void = () => {},
): Promise<void> {
  const { instances } = engine;
  if (verb.kind === "launch") {
    const image = { ...verb.image, virtualSize: MIB };
    await instances.create(specOf(verb.on, image, verb.firmware, verb.further), context());
    return;
  }
  if (verb.kind === "repair") {
    for (const finding of (await engine.maintenance?.audit()) ?? []) {
      await engine.maintenance?.repair(finding, context());
    }
    return;
  }
  if (verb.kind === "choose") {
    const finding = ((await engine.maintenance?.audit()) ?? []).find(
      ({ kind, subject }) => kind === verb.finding && subject === verb.subject,
    );
    if (finding !== undefined) {
      await engine.maintenance?.repair(finding, context(), verb.choice);
    }
    return;
  }
  if (verb.kind === "take group") {
    return takeGroup(engine, verb, wait);
  }
  const found = await instances.find(verb.on);
  if (found === null) {
    throw new Error(`${verb.on} is gone`);
  }
  await using lock = await instances.lock(found, { wait }, context());
  journal("begin");
  try {
    await act(engine, lock, verb);
  } finally {
    journal("end");
  }
}

/** A small instance, with so many disks beside its system disk. */
export function specOf(name: string, image: ImageSource, firmware?: Firmware, further = 0) {
  const resources = { cpus: 1, memory: 128n * MIB, disk: DISK };
  const booted = firmware === undefined ? {} : { firmware };
  const extraDisks = Array.from({ length: further }, () => DISK);
  const disks = further === 0 ? {} : { extraDisks };
  return newSpec({ image } as Parameters<typeof newSpec>[0], { name, resources, ...booted, ...disks });
}

/** What the core says of a snapshot that is being taken. */
async function recordOf(
  snapshots: Snapshots,
  { instance }: Lock,
  {
    name,
    createdAt,
    consistency,
  }: Pick<Extract<Verb, { kind: "take" }>, "name" | "createdAt" | "consistency">,
): Promise<SnapshotRecord> {
  const { id, resources, mounts, nics, record } = instance;
  const { standsOn: parent } = await snapshots.tree(id);
  const { cloudInstanceId } = record;
  const made = { name, comment: "", parent, resources, mounts, nics, cloudInstanceId, createdAt };
  return consistency === undefined ? made : { ...made, consistency };
}

async function takeGroup(
  { instances, snapshots }: Engine,
  verb: Extract<Verb, { kind: "take group" }>,
  wait: number,
): Promise<void> {
  const group = "00000000-0000-4000-8000-000000000001";
  const members: GroupMember[] = [];
  try {
    for (const name of [verb.on, ...verb.others]) {
      const lock = await instances.lock({ name }, { wait }, context());
      const record = { ...(await recordOf(snapshots, lock, { ...verb, consistency: "crash" })), group };
      members.push({ lock, record, taken: lock.instance.record.snapshotsTaken + 1 });
    }
    await snapshots.takeGroup?.(members, context());
  } finally {
    for (const { lock } of members) {
      await lock[Symbol.asyncDispose]();
    }
  }
}

async function act(
  { instances, snapshots, readImages, disks, adoption }: Engine,
  lock: Lock,
  verb: Exclude<Verb, { kind: "launch" | "repair" | "choose" | "take group" }>,
): Promise<void> {
  const { id, record } = lock.instance;
  switch (verb.kind) {
    case "take": {
      const { cut = false } = verb;
      const made = await recordOf(snapshots, lock, verb);
      return snapshots.take(lock, made, record.snapshotsTaken + 1, context(), { cut });
    }
    case "restore":
      return snapshots.restore(lock, verb.name, context(), { memory: verb.memory ?? false });
    case "delete": {
      const removal = planRemoval(await snapshots.tree(id), verb.name);
      if (removal !== undefined) {
        await snapshots.delete(lock, removal, context());
      }
      return;
    }
    case "rename":
      return snapshots.rename(lock, verb.name, verb.to, context());
    case "comment":
      return snapshots.describe(lock, verb.name, verb.text, context());
    case "resize":
      return instances.resize(lock, { cpus: verb.cpus, disk: BigInt(verb.mebibytes) * MIB }, context());
    case "add disk":
      await disks?.add(lock, BigInt(verb.mebibytes) * MIB, context());
      return;
    case "remove disk":
      return disks?.remove(lock, verb.disk, context());
    case "exclude disk":
      return disks?.exclude(lock, verb.disk, true, context());
    case "grow disk": {
      const grown = [{ name: verb.disk, size: BigInt(verb.mebibytes) * MIB }];
      return instances.resize(lock, { disks: grown }, context());
    }
    case "start":
      return instances.start(lock, context());
    case "suspend":
      return instances.suspend?.(lock, context());
    case "stop":
      return instances.stop(lock, verb.grace === "force" ? "force" : { grace: verb.grace }, context());
    case "mark":
      return instances.annotate(lock, { deleted: true });
    case "release":
      return adoption?.release(lock, context());
    case "optimize":
      return readImages?.build(lock, context());
    case "clone":
      await instances.clone?.(lock, { ...cloneSpec(lock.instance), name: verb.name }, context());
      return;
    case "purge":
      return instances.remove(lock, context());
  }
}
