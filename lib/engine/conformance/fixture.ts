import { randomUUID } from "node:crypto";
import { outlineOf } from "../../core/snapshots/outline.ts";
import type {
  Context,
  Engine,
  GroupMember,
  ImageSource,
  Instance,
  InstanceRecord,
  InstanceSpec,
  Lock,
  OpenOptions,
  SnapshotRecord,
  TakeOptions,
} from "../contract.ts";
import { RECORD_VERSION } from "../contract.ts";
import { quietContext } from "../quiet-context.ts";
import type { GuestFixture } from "./guest.ts";

/** What the author of an engine gives the suite: the plugin, its engine, and a way to its disks without a boot. */
export interface Fixture extends AsyncDisposable {
  /** Absolute path of the plugin's package, or of its module where it ships with strata. */
  readonly plugin: string;
  readonly engine: Engine;
  /**
   * What `engine` was opened with. Whatever is opened with the same has the same instances, in other processes too.
   * Without it nothing of that is tried.
   */
  readonly options?: Pick<OpenOptions, "settings" | "dataFolder">;
  /** Opens another engine on the state of `engine`. Without it the plugin does, with `options`. */
  open?(): Promise<Engine>;
  /** What is started need not answer, but the engine must be able to start it. */
  readonly image: ImageSource;
  /**
   * A guest that answers, for commands and transfer. An engine that runs commands itself needs none: its
   * instances of `image` are used.
   */
  readonly guest?: GuestFixture;
  /**
   * Makes the engine fail, or die as if its process was killed, at its `step`-th step from now, 1 being the
   * next. The call that dies rejects, with ENGINE_LOST for instance, and changes nothing any more; nor does it tidy
   * up. The locks that were held are free, as they are after the end of a process, and calls that come later work.
   * Without it faults are not tried.
   */
  fault?(step: number, how: "fail" | "die"): InjectedFault;
  /**
   * Writes something on a disk of a stopped instance that depends on `value`, 1 to 255: on its system disk, or with
   * the feature "disks" on the further one of that name.
   */
  write(instance: Instance, value: number, disk?: string): Promise<void>;
  /** The same in an instance that runs, as its guest would. Without it that is not tried. */
  writeRunning?(instance: Instance, value: number, disk?: string): Promise<void>;
  /** Leaves the guest of a running instance without an agent. Without it that is not tried. */
  stopAgent?(instance: Instance): Promise<void>;
  /** A digest of all of a disk's contents, its size left out. */
  read(instance: Instance, disk?: string): Promise<string>;
  /** Has the firmware of a stopped instance remember that. Without it, and the next, that is not tried. */
  writeFirmware?(instance: Instance, mark: string): Promise<void>;
  /** What the firmware of a stopped instance remembers; "" for nothing. */
  readFirmware?(instance: Instance): Promise<string>;
  /**
   * Makes an instance of the engine's own that strata knows nothing of; needed for the feature "adopt". With
   * `disks`, one that has so many further disks of 16 MiB at least.
   */
  foreign?(options?: { readonly disks?: number }): Promise<Foreign>;
  /** Looks for whatever the engine itself can find wrong with the instance, and throws it. */
  audit?(instance: Instance): Promise<void>;
}

/** A fault that is waiting to happen. */
export interface InjectedFault extends Disposable {
  readonly struck: boolean;
}

/** Disposing of it takes away what is left of it. */
export interface Foreign extends AsyncDisposable {
  readonly name: string;
  /** Names of its further disks, where it was asked for some. */
  readonly disks?: readonly string[];
  /** A digest of its own disk's file or volume, whoever manages it. */
  digest(): Promise<string>;
}

export const MIB = 1024n ** 2n;

/** A context that nobody cancels. */
export function context(): Context {
  return quietContext();
}

/** A specification with a name that nobody else has; it says whose it is, should the process be killed. */
export function newSpec(fixture: Pick<Fixture, "image">, change: Partial<InstanceSpec> = {}): InstanceSpec {
  const least = fixture.image.virtualSize;
  return {
    name: `conf-${process.pid}-${randomUUID().slice(0, 8)}a`,
    image: fixture.image,
    resources: { cpus: 1, memory: 256n * MIB, disk: least > 16n * MIB ? least : 16n * MIB },
    mounts: [],
    networks: [],
    seed: {
      metaData: "instance-id: i-1\n",
      userData: "#cloud-config\n{}\n",
      vendorData: "#cloud-config\n{}\n",
    },
    record: {
      version: RECORD_VERSION,
      image: { sha256: fixture.image.sha256, release: "1", os: "Test" },
      username: "tester",
      deleted: false,
      snapshotsTaken: 0,
      cloudInstanceId: "i-1",
      createdAt: 1_700_000_000_123,
    },
    ...change,
  };
}

/** The members that the record of another version of strata may have, in an engine that does not know them. */
export function withFurther(record: InstanceRecord): InstanceRecord {
  const further = {
    words: ["bigint:7", "12n"],
    tagged: { $bigint: "7" },
    none: null,
    yes: true,
    text: "<ü>",
  };
  return { ...record, ...{ further } };
}

/** The locks that tests took last, by the ids of their instances. */
const locks = new Map<string, Lock>();

/** The lock that the test holds on the instance of that id. */
export function lockOf(id: string): Lock {
  const lock = locks.get(id);
  if (lock === undefined) {
    throw new Error(`the test has not locked ${id}`);
  }
  return lock;
}

/** Locks an instance for what follows, until the lock is disposed of. */
export async function locked(
  { engine }: Pick<Fixture, "engine">,
  instance: Pick<Instance, "id" | "name">,
  wait = 0,
): Promise<Lock> {
  const lock = await engine.instances.lock(instance, { wait }, context());
  locks.set(instance.id, lock);
  return lock;
}

/** Runs a callback on a new, locked instance, and removes it afterwards. */
export async function withInstance(
  fixture: Fixture,
  work: (instance: Instance) => Promise<void>,
  change: Partial<InstanceSpec> = {},
): Promise<void> {
  const { instances } = fixture.engine;
  const instance = await instances.create(newSpec(fixture, change), context());
  await locked(fixture, instance);
  try {
    await work(instance);
  } finally {
    // The work may have let go of the first lock and taken another.
    await using lock = lockOf(instance.id);
    await instances.remove(lock, context());
  }
}

/** The instance as it is now. */
export async function current(fixture: Pick<Fixture, "engine">, { name }: Instance): Promise<Instance> {
  const found = await fixture.engine.instances.find(name);
  if (found === null) {
    throw new Error(`${name} is gone`);
  }
  return found;
}

/** Takes a snapshot as the core does. */
export async function take(
  fixture: Pick<Fixture, "engine">,
  instance: Instance,
  name: string,
  options: SnapshotWish & TakeOptions = {},
): Promise<void> {
  const { record, taken } = await recordOf(fixture, instance, name, options);
  await fixture.engine.snapshots.take(lockOf(instance.id), record, taken, context(), {
    ...(options.cut === undefined ? {} : { cut: options.cut }),
  });
}

/** What a test says of a snapshot beside its name. */
export type SnapshotWish = Partial<Pick<SnapshotRecord, "comment" | "consistency" | "group">>;

/** What the core hands over for a snapshot: parent from the tree, the rest from the instance. */
export async function recordOf(
  fixture: Pick<Fixture, "engine">,
  instance: Instance,
  name: string,
  { comment = "", consistency, group }: SnapshotWish = {},
): Promise<Omit<GroupMember, "lock">> {
  const [{ resources, mounts, nics, record }, { standsOn }] = await Promise.all([
    current(fixture, instance),
    outlineOf(fixture.engine.snapshots, instance.id),
  ]);
  const { cloudInstanceId } = record;
  const createdAt = Date.now();
  return {
    record: {
      ...{ name, comment, parent: standsOn, resources, mounts, nics, cloudInstanceId, createdAt },
      ...(consistency === undefined ? {} : { consistency }),
      ...(group === undefined ? {} : { group }),
    },
    taken: record.snapshotsTaken + 1,
  };
}
