import { asStrataError, type ErrorCode } from "../../errors.ts";
import type { Consistency, Context, EngineState, Instance } from "../contract.ts";
import { rejects, same } from "./assert.ts";
import { callOff } from "./call-off.ts";
import { context, current, type Fixture, locked, lockOf, newSpec, recordOf, take } from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";
import { readAll, removeSnapshot } from "./running-instance.ts";
import { NotTried } from "./tally.ts";

/** Snapshots of several instances at one moment: of all of them, or of none. */
export function groupTests(kit: Kit): void {
  const several = (title: string, work: (fixture: Fixture, group: Group) => Promise<void>) =>
    feature(kit, "snapshot.group", title, (fixture) => withGroup(fixture, (group) => work(fixture, group)));

  several("are of what runs and of what is stopped, and leave each as it was", async (fixture, group) => {
    const before = await group.states();
    await group.take("all");
    same(await group.states(), before);
    for (const instance of group.instances) {
      const { snapshots, standsOn } = await fixture.engine.snapshots.tree(instance.id);
      const told = snapshots.map(({ name, parent, group: of }) => ({ name, parent, of }));
      same(told.slice(-1), [{ name: "all", parent: "alone", of: GROUP }]);
      same(snapshots[0]?.group, undefined, "one that was taken alone");
      same(standsOn, "all");
      same(snapshots[1]?.consistency ?? "stopped", group.consistencyOf(instance));
      same((await current(fixture, instance)).record.snapshotsTaken, 2);
      await fixture.audit?.(instance);
    }
  });

  several("are snapshots like others afterwards", async (fixture, group) => {
    const { instances, snapshots } = fixture.engine;
    for (const instance of group.instances) {
      await instances.stop(lockOf(instance.id), "force", context());
      await fixture.write(instance, 1);
      await group.begin(instance);
    }
    await group.take("all");
    const [first, ...others] = group.instances;
    for (const instance of group.instances) {
      await instances.stop(lockOf(instance.id), "force", context());
      const contents = await readAll(fixture, instance);
      await fixture.write(instance, 2);
      await snapshots.restore(lockOf(instance.id), "all", context());
      same(await readAll(fixture, instance), contents);
      await snapshots.rename(lockOf(instance.id), "all", "renamed", context());
    }
    await removeSnapshot(fixture, first, "renamed");
    for (const { id } of others) {
      const renamed = (await snapshots.tree(id)).snapshots.map(({ name, group: of }) => ({ name, of }));
      same(renamed, [
        { name: "alone", of: undefined },
        { name: "renamed", of: GROUP },
      ]);
    }
  });

  const refused = (
    title: string,
    code: ErrorCode,
    work: (fixture: Fixture, group: Group) => Promise<{ readonly consistency?: Consistency } | undefined>,
  ) =>
    several(title, async (fixture, group) => {
      const change = await work(fixture, group);
      const before = await group.look();
      await rejects(group.take("all", { last: change }), code);
      same(await group.look(), before);
      for (const instance of group.instances) {
        await fixture.audit?.(instance);
      }
    });

  refused("are of none when a name is taken in one", "SNAPSHOT_EXISTS", async (fixture, group) => {
    await take(fixture, group.last, "all", { consistency: group.consistencyOf(group.last) });
    return undefined;
  });

  refused(
    "are of none when one is not in the state that it names",
    "WRONG_STATE",
    async ({ engine }, { last }) => {
      await engine.instances.stop(lockOf(last.id), "force", context());
      return undefined;
    },
  );

  refused("are of none when memory is asked for", "UNSUPPORTED", async () => ({ consistency: "memory" }));

  refused("are of none when one agent does not answer", "AGENT_MISSING", async (fixture, { last }) => {
    if (!kit.info().features.has("snapshot.quiesce") || fixture.stopAgent === undefined) {
      throw new NotTried("the fixture stops no agent");
    }
    await fixture.stopAgent(last);
    return { consistency: "files" };
  });

  several("are of none when one lock was released", async (fixture, group) => {
    const before = await group.look();
    const members = await group.members("all");
    await lockOf(group.last.id)[Symbol.asyncDispose]();
    await rejects(takeGroup(fixture, members, context()), "LOCK_REQUIRED");
    await locked(fixture, group.last, 10_000);
    same(await group.look(), before);
  });

  several("are of all or of none, whenever they are called off", async (fixture, group) => {
    const states = await group.states();
    await callOff(
      async (call) => takeGroup(fixture, await group.members("all"), call),
      async (done) => {
        same(await group.states(), states);
        same(await group.have("all"), done ? "all" : "none");
        for (const instance of done ? group.instances : []) {
          await removeSnapshot(fixture, instance, "all");
        }
      },
    );
  });

  for (const how of ["fail", "die"] as const) {
    const title =
      how === "fail" ? "are of none, whichever step failed" : "are of all or of none when their process died";
    feature(kit, "snapshot.group", title, async (fixture) => {
      if (fixture.fault === undefined) {
        throw new NotTried("the fixture makes no faults");
      }
      let step = 1;
      while (await strike(fixture, how, step)) {
        step += 1;
      }
      same(step > 1, true, `there is no step that could ${how}`);
    });
  }
}

/** Takes a group with a fault at that step; false when there were fewer. */
async function strike(fixture: Fixture, how: "fail" | "die", step: number): Promise<boolean> {
  let struck = false;
  await withGroup(fixture, async (group) => {
    const before = await group.look();
    const members = await group.members("all");
    let error: unknown;
    {
      using injected = fixture.fault?.(step, how);
      error = await takeGroup(fixture, members, context()).then(() => undefined, asStrataError);
      struck = injected?.struck === true;
    }
    // Locking finishes or undoes what was left, of whichever is locked first.
    for (const { id } of group.instances) {
      await lockOf(id)[Symbol.asyncDispose]();
    }
    for (const instance of [...group.instances].reverse()) {
      await locked(fixture, instance, 10_000);
      await fixture.audit?.(instance);
    }
    const after = await group.look();
    same(after.states, before.states, `nobody is left paused or frozen by a fault at step ${step}`);
    const have = await group.have("all");
    if (error === undefined) {
      same(have, "all");
    } else if (how === "fail" || have === "none") {
      same(after, before, `after a fault at step ${step}`);
    } else {
      same(have, "all", `after the death at step ${step}`);
    }
  });
  return struck;
}

/** How many of three. */
const COUNTS: Readonly<Record<number, "all" | "none">> = { 0: "none", 3: "all" };

const GROUP = "0b7c4a52-5f0e-4f0b-9a63-0f6a5b2f8d11";

type Members = Parameters<NonNullable<Fixture["engine"]["snapshots"]["takeGroup"]>>[0];

async function takeGroup({ engine }: Fixture, members: Members, call: Context): Promise<void> {
  if (engine.snapshots.takeGroup === undefined) {
    throw new Error("the engine takes no groups");
  }
  await engine.snapshots.takeGroup(members, call);
}

/** Locked instances, each with a snapshot "alone": the first is stopped, and the others run. */
interface Group {
  readonly instances: readonly [Instance, ...Instance[]];
  readonly last: Instance;
  consistencyOf(instance: Instance): Consistency;
  /** Starts one that is to run. */
  begin(instance: Instance): Promise<void>;
  /** What the core would hand over; `last` is what is different for the last of them. */
  members(
    name: string,
    options?: { last?: { readonly consistency?: Consistency } | undefined },
  ): Promise<Members>;
  take(name: string, options?: Parameters<Group["members"]>[1]): Promise<void>;
  states(): Promise<readonly EngineState[]>;
  /** How many of them have a snapshot of that name. */
  have(name: string): Promise<"all" | "some" | "none">;
  look(): Promise<{ readonly states: readonly EngineState[]; readonly trees: readonly unknown[] }>;
}

async function withGroup(fixture: Fixture, work: (group: Group) => Promise<void>): Promise<void> {
  const { instances, snapshots } = fixture.engine;
  const made: Instance[] = [];
  try {
    for (const _ of [1, 2, 3]) {
      const instance = await instances.create(newSpec(fixture), context());
      await locked(fixture, instance);
      made.push(instance);
      await take(fixture, instance, "alone");
    }
    const [first, , last] = made;
    if (first === undefined || last === undefined) {
      throw new Error("there are no instances");
    }
    const group: Group = {
      instances: [first, ...made.slice(1)],
      last,
      consistencyOf: ({ id }) => (id === first.id ? "stopped" : "crash"),
      async begin({ id }) {
        if (id !== first.id) {
          await instances.start(lockOf(id), context());
        }
      },
      members: (name, options = {}) =>
        Promise.all(
          made.map(async (instance) => {
            const change = instance.id === last.id ? options.last : undefined;
            const consistency = change?.consistency ?? group.consistencyOf(instance);
            const wish = { group: GROUP, ...(consistency === "stopped" ? {} : { consistency }) };
            return { lock: lockOf(instance.id), ...(await recordOf(fixture, instance, name, wish)) };
          }),
        ),
      take: async (name, options) => takeGroup(fixture, await group.members(name, options), context()),
      states: () => Promise.all(made.map(async (instance) => (await current(fixture, instance)).state)),
      async have(name) {
        const trees = await Promise.all(made.map(({ id }) => snapshots.tree(id)));
        const count = trees.filter((tree) => tree.snapshots.some((each) => each.name === name)).length;
        return COUNTS[count] ?? "some";
      },
      look: async () => ({
        states: await group.states(),
        trees: await Promise.all(made.map(({ id }) => snapshots.tree(id))),
      }),
    };
    for (const instance of made) {
      await group.begin(instance);
    }
    await work(group);
  } finally {
    for (const instance of made) {
      await using lock = lockOf(instance.id);
      await instances.remove(lock, context());
    }
  }
}
