import type { Instance, Lock, Removal, Snapshot } from "../contract.ts";
import { rejects, same } from "./assert.ts";
import {
  context,
  current,
  type Fixture,
  locked,
  lockOf,
  MIB,
  newSpec,
  take,
  withInstance,
} from "./fixture.ts";
import type { Kit } from "./kit.ts";

/** One operation on an instance at a time. */
export function lockTests(kit: Kit): void {
  kit.it("keep others out until they are released", async () => {
    const { instances } = kit.fixture().engine;
    const instance = await instances.create(newSpec(kit.fixture()), context());
    const first = await instances.lock(instance, { wait: 0 }, context());
    await rejects(instances.lock(instance, { wait: 0 }, context()), "BUSY");
    await rejects(instances.lock(instance, { wait: 50 }, context()), "BUSY");
    const waiting = instances.lock(instance, { wait: 10_000 }, context());
    await first[Symbol.asyncDispose]();
    await using second = await waiting;
    await instances.remove(second, context());
  });

  kit.it("carry the instance as it is once it is locked", async () => {
    const fixture = kit.fixture();
    const { instances } = fixture.engine;
    const { id, name } = await instances.create(newSpec(fixture), context());
    {
      await using lock = await instances.lock({ name }, { wait: 0 }, context());
      same(lock.instance, await instances.find(name));
      await instances.annotate(lock, { hostKey: "ssh-ed25519 AAAA" });
    }
    await using lock = await instances.lock({ name, id }, { wait: 0 }, context());
    same(lock.instance.record.hostKey, "ssh-ed25519 AAAA");
    await instances.remove(lock, context());
  });

  kit.it("are not of an instance that is gone, nor of another of its name", async () => {
    const fixture = kit.fixture();
    const { instances } = fixture.engine;
    const spec = newSpec(fixture);
    const first = await instances.create(spec, context());
    {
      await using lock = await locked(fixture, first);
      await instances.remove(lock, context());
    }
    await rejects(instances.lock(first, { wait: 0 }, context()), "INSTANCE_NOT_FOUND");
    const second = await instances.create(spec, context());
    await rejects(instances.lock(first, { wait: 0 }, context()), "INSTANCE_NOT_FOUND");
    await using lock = await locked(fixture, second);
    await instances.remove(lock, context());
  });

  kit.it("wait for others as long as they are asked to, and then are refused with BUSY", async (fixture) => {
    await withInstance(fixture, async (instance) => {
      const { instances } = fixture.engine;
      const waiting = instances.lock(instance, { wait: 60_000 }, context());
      const begin = performance.now();
      const late = { ...context(), signal: AbortSignal.timeout(WAIT_MS + LATE_MS) };
      await rejects(instances.lock(instance, { wait: WAIT_MS }, late), "BUSY");
      const waited = performance.now() - begin;
      same(waited >= WAIT_MS - TIMER_MS, true, `it was refused after ${waited} ms of ${WAIT_MS}`);
      await lockOf(instance.id)[Symbol.asyncDispose]();
      // It has waited longer than the one that was refused.
      await using lock = await waiting;
      same(lock.instance.id, instance.id);
      await lock[Symbol.asyncDispose]();
      await locked(fixture, instance);
    });
  });

  kit.it("are needed for every change, and of no use once they were released", async (fixture) => {
    await refuseAll(fixture, async (lock) => lock);
  });

  kit.it("are of no use once they were released and another has been taken", async (fixture) => {
    await refuseAll(fixture, async (lock, instance) => {
      await locked(fixture, instance);
      return lock;
    });
  });

  kit.it("are those that the engine has given, not others of the same shape", async (fixture) => {
    await refuseAll(fixture, async (_, instance) => ({ instance, [Symbol.asyncDispose]: async () => {} }));
  });
}

/** How long a lock is waited for, how much too early a timer may be, and how much too late an answer, ms. */
const WAIT_MS = 300;
const TIMER_MS = 20;
const LATE_MS = 10_000;

/** Tries every change with a lock that `lockFor` makes of a released one: all must be refused and change nothing. */
async function refuseAll(
  fixture: Fixture,
  lockFor: (released: Lock, instance: Instance) => Promise<Lock>,
): Promise<void> {
  const { instances, snapshots } = fixture.engine;
  const instance = await instances.create(newSpec(fixture), context());
  const released = await locked(fixture, instance);
  await take(fixture, instance, "one");
  await released[Symbol.asyncDispose]();
  const look = async () => ({
    instance: await current(fixture, instance),
    tree: await snapshots.tree(instance.id),
  });
  const before = await look();
  const lock = await lockFor(released, before.instance);
  try {
    for (const [call, change] of Object.entries(changes(fixture, before.tree.snapshots[0]))) {
      await rejects(change(lock), "LOCK_REQUIRED").catch((error: Error) => {
        throw new Error(`${call} with a lock that is not held: ${error.message}`, { cause: error });
      });
    }
    same(await look(), before);
  } finally {
    await lockOf(instance.id)[Symbol.asyncDispose]();
    await using last = await locked(fixture, instance, 10_000);
    await instances.remove(last, context());
  }
}

/** Every call that changes an instance, as far as the engine has it. */
function changes(
  fixture: Fixture,
  snapshot: Snapshot | undefined,
): Readonly<Record<string, (lock: Lock) => Promise<unknown>>> {
  if (snapshot === undefined) {
    throw new Error("the snapshot is not there");
  }
  const { instances, snapshots, disks, mounts, networks, readImages, adoption, cluster } = fixture.engine;
  const { size: _, ...taken } = snapshot;
  const record = { ...taken, name: "two", parent: "one" };
  const removal: Removal = { name: "one", parent: null, children: [] };
  const mount = { source: "/", target: "/mnt/x", type: "native", uidMap: [], gidMap: [] } as const;
  const spec = newSpec(fixture);
  const all: Readonly<Record<string, undefined | ((lock: Lock) => Promise<unknown> | undefined)>> = {
    start: (lock) => instances.start(lock, context()),
    stop: (lock) => instances.stop(lock, "force", context()),
    suspend: instances.suspend && ((lock) => instances.suspend?.(lock, context())),
    clone: instances.clone && ((lock) => instances.clone?.(lock, spec, context())),
    resize: (lock) => instances.resize(lock, { cpus: 2, memory: 512n * MIB }, context()),
    annotate: (lock) => instances.annotate(lock, { deleted: true }),
    take: (lock) => snapshots.take(lock, record, 2, context()),
    "take a group":
      snapshots.takeGroup && ((lock) => snapshots.takeGroup?.([{ lock, record, taken: 2 }], context())),
    restore: (lock) => snapshots.restore(lock, "one", context()),
    delete: (lock) => snapshots.delete(lock, removal, context()),
    rename: (lock) => snapshots.rename(lock, "one", "two", context()),
    describe: (lock) => snapshots.describe(lock, "one", "other", context()),
    "add a disk": disks && ((lock) => disks.add(lock, 16n * MIB, context())),
    "remove a disk": disks && ((lock) => disks.remove(lock, "vdb", context())),
    "exclude a disk": disks && ((lock) => disks.exclude(lock, "vdb", true, context())),
    attach: mounts && ((lock) => mounts.attach(lock, mount, context())),
    detach: mounts && ((lock) => mounts.detach(lock, mount.target, context())),
    "add an interface":
      networks?.attach && ((lock) => networks.attach?.(lock, { network: "default" }, context())),
    optimize: readImages && ((lock) => readImages.build(lock, context())),
    release: adoption && ((lock) => adoption.release(lock, context())),
    move: cluster && ((lock) => cluster.move(lock, "elsewhere", context())),
    remove: (lock) => instances.remove(lock, context()),
  };
  const there = Object.entries(all).flatMap(([call, change]) =>
    change ? [[call, async (lock: Lock) => change(lock)] as const] : [],
  );
  return Object.fromEntries(there);
}
