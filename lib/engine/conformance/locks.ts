import { it } from "mocha";
import type { Lock, Removal, SnapshotRecord } from "../contract.ts";
import { rejects, same } from "./assert.ts";
import { context, current, locked, MIB, newSpec, take } from "./fixture.ts";
import type { Kit } from "./kit.ts";

/** One operation on an instance at a time. */
export function lockTests(kit: Kit): void {
  it("keep others out until they are released", async () => {
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

  it("carry the instance as it is once it is locked", async () => {
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

  it("are not of an instance that is gone, nor of another of its name", async () => {
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

  it("are needed for every change, and of no use once they were released", async () => {
    const fixture = kit.fixture();
    const { instances, snapshots, mounts, networks, readImages } = fixture.engine;
    const instance = await instances.create(newSpec(fixture), context());
    const old = await locked(fixture, instance);
    await take(fixture, instance, "one");
    await old[Symbol.asyncDispose]();
    const look = async () => ({
      instance: await current(fixture, instance),
      tree: await snapshots.tree(instance.id),
    });
    const before = await look();
    for (const [call, change] of Object.entries(changes(before.tree.snapshots[0]))) {
      same(await outcome(change(old)), "refused", call);
    }
    same(await look(), before);
    await using lock = await instances.lock(instance, { wait: 0 }, context());
    await instances.remove(lock, context());

    function changes(snapshot: SnapshotRecord | undefined): Record<string, (lock: Lock) => unknown> {
      if (snapshot === undefined) {
        throw new Error("the snapshot is not there");
      }
      const removal: Removal = { name: "one", parent: null, children: [] };
      const record = { ...snapshot, name: "two", parent: "one" };
      const mount = { source: "/", target: "/mnt/x", type: "native", uidMap: [], gidMap: [] } as const;
      const spec = newSpec(fixture);
      const refused = () => Promise.reject(new Error("it is not there"));
      return {
        start: (lock) => instances.start(lock, context()),
        stop: (lock) => instances.stop(lock, "force", context()),
        suspend: (lock) => instances.suspend?.(lock, context()) ?? refused(),
        clone: (lock) => instances.clone?.(lock, spec, context()) ?? refused(),
        resize: (lock) => instances.resize(lock, { cpus: 2, memory: 512n * MIB }, context()),
        annotate: (lock) => instances.annotate(lock, { deleted: true }),
        remove: (lock) => instances.remove(lock, context()),
        take: (lock) => snapshots.take(lock, record, 2, context()),
        restore: (lock) => snapshots.restore(lock, "one", context()),
        delete: (lock) => snapshots.delete(lock, removal, context()),
        rename: (lock) => snapshots.rename(lock, "one", "two", context()),
        describe: (lock) => snapshots.describe(lock, "one", "other", context()),
        attach: (lock) => mounts?.attach(lock, mount, context()) ?? refused(),
        detach: (lock) => mounts?.detach(lock, mount.target, context()) ?? refused(),
        "add an interface": (lock) =>
          networks?.attach?.(lock, { network: "default" }, context()) ?? refused(),
        optimize: (lock) => readImages?.build(lock, context()) ?? refused(),
      };
    }
  });
}

async function outcome(work: unknown): Promise<"done" | "refused"> {
  return Promise.resolve(work).then(
    () => "done" as const,
    () => "refused" as const,
  );
}
