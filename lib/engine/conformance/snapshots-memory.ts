import { realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import type { Instance } from "../contract.ts";
import { rejects, same } from "./assert.ts";
import { context, current, type Fixture, locked, lockOf, MIB, take } from "./fixture.ts";
import { type Guest, guestOf } from "./guest.ts";
import { feature, type Kit } from "./kit.ts";
import { callOffTake, labelsOf, readAll, removeSnapshot, withStarted } from "./running-instance.ts";
import { NotTried } from "./tally.ts";

/** Snapshots with the memory of a guest. Only those tests that look into it need one that boots. */
export function memorySnapshotTests(kit: Kit): void {
  const withMemory = (title: string, work: (fixture: Fixture, instance: Instance) => Promise<void>) =>
    feature(kit, "snapshot.memory", title, (fixture) =>
      withStarted(fixture, async (instance) => work(fixture, instance)),
    );

  withMemory("leave it running, and tell what the memory takes", async (fixture, instance) => {
    await take(fixture, instance, "live", { consistency: "memory" });
    const { state, resumes } = await current(fixture, instance);
    same({ state, resumes }, { state: "running", resumes: undefined });
    const { snapshots } = await fixture.engine.snapshots.tree(instance.id);
    const told = snapshots.map(({ name, consistency = "stopped", memorySize }) => ({
      name,
      consistency,
      size: memorySize === null || (memorySize !== undefined && memorySize > 0n),
    }));
    same(told, [
      { name: "stopped", consistency: "stopped", size: false },
      { name: "live", consistency: "memory", size: true },
    ]);
  });

  withMemory("come back suspended, and the next start resumes them", async (fixture, instance) => {
    const { instances } = fixture.engine;
    await take(fixture, instance, "live", { consistency: "memory" });
    for (const time of [1, 2, 3]) {
      await restoreMemory(fixture, instance, "live");
      same(await seen(fixture, instance), { state: "suspended", resumes: "live" }, `time ${time}`);
      same((await fixture.engine.snapshots.tree(instance.id)).standsOn, "live");
      await instances.start(lockOf(instance.id), context());
      same(await seen(fixture, instance), { state: "running", resumes: undefined }, `time ${time}`);
      await instances.start(lockOf(instance.id), context());
    }
    await fixture.audit?.(instance);
  });

  withMemory("stay where they are when the disk alone is restored", async (fixture, instance) => {
    const { instances, snapshots } = fixture.engine;
    await take(fixture, instance, "live", { consistency: "memory" });
    await instances.stop(lockOf(instance.id), "force", context());
    await snapshots.restore(lockOf(instance.id), "live", context());
    same(await seen(fixture, instance), { state: "stopped", resumes: undefined });
    await instances.start(lockOf(instance.id), context());
    await restoreMemory(fixture, instance, "live");
    same(await seen(fixture, instance), { state: "suspended", resumes: "live" });
  });

  withMemory("are given up, and the disk is kept, when the power is cut", async (fixture, instance) => {
    const { instances, snapshots } = fixture.engine;
    await take(fixture, instance, "live", { consistency: "memory" });
    await instances.stop(lockOf(instance.id), "force", context());
    await snapshots.restore(lockOf(instance.id), "live", context());
    const contents = await readAll(fixture, instance);
    await fixture.write(instance, 7);
    await restoreMemory(fixture, instance, "live");
    await instances.stop(lockOf(instance.id), "force", context());
    same(await seen(fixture, instance), { state: "stopped", resumes: undefined });
    same(await readAll(fixture, instance), contents, "the disk that was restored");
    // Nothing of the memory is in the way of what a stopped instance can do.
    await take(fixture, instance, "later");
    await instances.start(lockOf(instance.id), context());
    same(await seen(fixture, instance), { state: "running", resumes: undefined });
  });

  withMemory("are parted neither from disk nor from resources while they wait", async (fixture, instance) => {
    const { instances, snapshots } = fixture.engine;
    const { id } = instance;
    await take(fixture, instance, "live", { consistency: "memory" });
    await restoreMemory(fixture, instance, "live");
    const before = await snapshots.tree(id);
    const removal = { name: "stopped", parent: null, children: ["live"] };
    await rejects(take(fixture, instance, "two"), "INSTANCE_SUSPENDED");
    await rejects(snapshots.restore(lockOf(id), "stopped", context()), "INSTANCE_SUSPENDED");
    await rejects(snapshots.delete(lockOf(id), removal, context()), "INSTANCE_SUSPENDED");
    await rejects(instances.resize(lockOf(id), { memory: 384n * MIB }, context()), "INSTANCE_SUSPENDED");
    await rejects(instances.stop(lockOf(id), { grace: 1000 }, context()), "INSTANCE_SUSPENDED");
    same(await snapshots.tree(id), before);
    same(await seen(fixture, instance), { state: "suspended", resumes: "live" });
    await snapshots.rename(lockOf(id), "live", "other", context());
    same(await seen(fixture, instance), { state: "suspended", resumes: "other" });
    await instances.start(lockOf(id), context());
    same(await seen(fixture, instance), { state: "running", resumes: undefined });
  });

  withMemory("bring back the resources and mounts of then", async (fixture, instance) => {
    const { instances, mounts } = fixture.engine;
    const { id } = instance;
    const before = await current(fixture, instance);
    await take(fixture, instance, "live", { consistency: "memory" });
    await instances.stop(lockOf(id), "force", context());
    await instances.resize(lockOf(id), { cpus: 2, memory: 384n * MIB }, context());
    if (kit.info().features.has("mount.native")) {
      const source = realpathSync(tmpdir());
      const mount = { source, target: "/mnt/x", type: "native", uidMap: [], gidMap: [] } as const;
      await mounts?.attach(lockOf(id), mount, context());
    }
    await restoreMemory(fixture, instance, "live");
    const after = await current(fixture, instance);
    same([after.resources, after.mounts, after.nics], [before.resources, before.mounts, before.nics]);
    await instances.start(lockOf(id), context());
    same((await current(fixture, instance)).resources, before.resources);
  });

  withMemory("are whole or not there, whenever they are called off", (fixture, instance) =>
    callOffTake(fixture, instance, "memory"),
  );

  guestTests(kit);
}

/** What a guest has in its memory and on its disk. */
function guestTests(kit: Kit): void {
  const inside = (title: string, work: (room: Room) => Promise<void>) =>
    feature(kit, "snapshot.memory", title, async (fixture) => {
      if (guestOf(fixture) === undefined) {
        throw new NotTried("the fixture has no guest");
      }
      await withRoom(fixture, await kit.guest(), work);
    });

  inside(
    "bring back what ran, as often as they are restored",
    async ({ put, look, snap, back, stop, start }) => {
      await put("one");
      await snap("first", "memory");
      for (const later of ["two", "three", "four"]) {
        await put(later);
        await stop();
        await back("first", true);
        await start();
        same(await look(), { memory: "one", disk: "one" }, `after "${later}" was written`);
      }
    },
  );

  inside("bring back what ran on a branch, and once those below are deleted", async (room) => {
    const { put, look, snap, back, drop, stop, start } = room;
    await put("zero");
    await snap("bottom", "memory");
    await put("one");
    await snap("first", "memory");
    await put("two");
    await snap("second", "memory");
    await stop();
    await drop("bottom");
    await back("first", true);
    await start();
    same(await look(), { memory: "one", disk: "one" }, "the first, without the one below");
    await put("branch");
    await snap("branch", "memory");
    await stop();
    await drop("first");
    for (const [name, text] of [
      ["second", "two"],
      ["branch", "branch"],
    ] as const) {
      await back(name, true);
      await start();
      same(await look(), { memory: text, disk: text }, `${name}, without those below`);
      await stop();
    }
    await back("branch", true);
    await start();
  });

  inside("never meet a disk that was written since", async ({ put, look, snap, back, stop, start }) => {
    await put("one");
    await snap("first", "memory");
    await put("two");
    await stop();
    await back("first", true);
    // Its power is cut, so it boots, and what it writes then is no disk for that memory any more.
    await stop();
    await start();
    same(await look(), { memory: null, disk: "one" }, "the memory was given up");
    await put("three");
    await stop();
    await start();
    same(await look(), { memory: null, disk: "three" }, "nothing of it came back");
  });

  inside("are left out by a restore of the disk", async ({ put, look, snap, back, stop, start }) => {
    await put("one");
    await snap("first", "memory");
    await put("two");
    await stop();
    await back("first", false);
    await start();
    same(await look(), { memory: null, disk: "one" });
  });
}

/** A guest that runs, and what a test does with it. Snapshots that are left are deleted afterwards. */
interface Room {
  /** Writes a text into memory and onto the disk. */
  put(text: string): Promise<void>;
  /** What is there of that; null for nothing. */
  look(): Promise<{ readonly memory: string | null; readonly disk: string | null }>;
  snap(name: string, consistency: "memory"): Promise<void>;
  back(name: string, memory: boolean): Promise<void>;
  drop(name: string): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Linux keeps the one in memory; any user can write both. */
const PLACES = { memory: "/dev/shm/strata-kit", disk: "/var/tmp/strata-kit" } as const;

async function withRoom(fixture: Fixture, guest: Guest, work: (room: Room) => Promise<void>): Promise<void> {
  const { instance, run, start, stop } = guest;
  const { snapshots } = fixture.engine;
  const whileLocked = async (change: () => Promise<void>) => {
    await using _lock = await locked(fixture, instance, 10_000);
    await change();
  };
  const read = async (path: string) => {
    const { code, stdout } = await run(["cat", path]);
    return code === 0 ? stdout.toString() : null;
  };
  const room: Room = {
    async put(text) {
      for (const path of Object.values(PLACES)) {
        same((await run(["tee", path], { input: text })).code, 0, `writing ${path}`);
      }
      await run(["sync"]);
    },
    look: async () => ({ memory: await read(PLACES.memory), disk: await read(PLACES.disk) }),
    snap: (name, consistency) => whileLocked(() => take(fixture, instance, name, { consistency })),
    back: (name, memory) =>
      whileLocked(() => snapshots.restore(lockOf(instance.id), name, context(), { memory })),
    drop: (name) => whileLocked(() => removeSnapshot(fixture, instance, name)),
    start,
    stop,
  };
  try {
    await work(room);
  } finally {
    // Others use the guest after this.
    await start();
    for (const [name = ""] of await labelsOf(fixture, instance)) {
      await room.drop(name);
    }
  }
}

/** Stops an instance and restores it with its memory. */
async function restoreMemory({ engine }: Fixture, { id }: Instance, name: string): Promise<void> {
  await engine.instances.stop(lockOf(id), "force", context());
  await engine.snapshots.restore(lockOf(id), name, context(), { memory: true });
}

async function seen(fixture: Fixture, instance: Instance) {
  const { state, resumes } = await current(fixture, instance);
  return { state, resumes };
}
