import { planRemoval } from "../../core/snapshots/plan.ts";
import { asStrataError } from "../../errors.ts";
import type { Context } from "../contract.ts";
import { rejects, same, within } from "./assert.ts";
import { context, current, locked, lockOf, MIB, newSpec, take, withInstance } from "./fixture.ts";
import { inGuest, type Kit } from "./kit.ts";

/** How long waiting and a command may take to end once they were called off, ms. */
const END_TIMEOUT_MS = 10_000;

/** Calls that are called off: they reject with CANCELLED, and then nothing has happened. */
export function cancellationTests(kit: Kit): void {
  kit.it("stop waiting for a lock", async () => {
    const { instances } = kit.fixture().engine;
    await withInstance(kit.fixture(), async (instance) => {
      const abort = new AbortController();
      const waiting = instances.lock(instance, { wait: 60_000 }, { ...context(), signal: abort.signal });
      abort.abort();
      await rejects(within(END_TIMEOUT_MS, "the end of waiting", waiting), "CANCELLED");
    });
  });

  kit.it("change nothing when they were called off before they began", async () => {
    const fixture = kit.fixture();
    const { instances, snapshots, disks } = fixture.engine;
    const spec = newSpec(fixture);
    await rejects(instances.create(spec, cancelled()), "CANCELLED");
    same(await instances.find(spec.name), null);
    await withInstance(fixture, async (instance) => {
      const { id } = instance;
      await fixture.write(instance, 1);
      await take(fixture, instance, "first");
      await fixture.write(instance, 2);
      const look = async () => ({
        tree: await snapshots.tree(id),
        instance: await current(fixture, instance),
        contents: await fixture.read(instance),
      });
      const before = await look();
      const removal = planRemoval(before.tree, "first");
      const record = before.tree.snapshots[0];
      if (removal === undefined || record === undefined) {
        throw new Error("the snapshot is not there");
      }
      const { size: _, ...described } = record;
      const calls = {
        take: () => snapshots.take(lockOf(id), { ...described, name: "second" }, 2, cancelled()),
        restore: () => snapshots.restore(lockOf(id), "first", cancelled()),
        delete: () => snapshots.delete(lockOf(id), removal, cancelled()),
        rename: () => snapshots.rename(lockOf(id), "first", "other", cancelled()),
        describe: () => snapshots.describe(lockOf(id), "first", "other", cancelled()),
        resize: () => instances.resize(lockOf(id), { cpus: 3, memory: 512n * MIB }, cancelled()),
        start: () => instances.start(lockOf(id), cancelled()),
        ...(disks === undefined ? {} : { "add a disk": () => disks.add(lockOf(id), 16n * MIB, cancelled()) }),
      };
      for (const [name, call] of Object.entries(calls)) {
        const error = await call().then(() => undefined, asStrataError);
        same(error?.code, "CANCELLED", name);
        same(await look(), before, name);
      }
    });
  });

  kit.it("leave a whole instance or none, whenever a creation is called off", async () => {
    const fixture = kit.fixture();
    const { instances } = fixture.engine;
    for (const delay of [0, 1, 5, 25]) {
      const abort = new AbortController();
      const timer = setTimeout(() => abort.abort(), delay);
      const spec = newSpec(fixture);
      const made = await instances.create(spec, { ...context(), signal: abort.signal }).catch((error) => {
        same(asStrataError(error).code, "CANCELLED");
        return null;
      });
      clearTimeout(timer);
      const found = await instances.find(spec.name);
      same(found?.id, made?.id);
      if (made === null) {
        continue;
      }
      await using _lock = await locked(fixture, made);
      await instances.remove(lockOf(made.id), context());
    }
  });

  inGuest(kit, "end a command that runs", async ({ open }) => {
    const abort = new AbortController();
    // It waits for its input, for ever.
    const session = await open(["cat"], { signal: abort.signal });
    for (const stream of [session.stdout, session.stderr]) {
      stream.on("error", () => {}).resume();
    }
    session.stdin.on("error", () => {});
    setTimeout(() => abort.abort(), 50);
    await rejects(within(END_TIMEOUT_MS, "the end of the command", session.exit), "CANCELLED");
  });
}

/** A context that was called off already. */
function cancelled(): Context {
  return { ...context(), signal: AbortSignal.abort() };
}
