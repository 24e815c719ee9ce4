import { randomUUID } from "node:crypto";
import type { Consistency, Context, GroupMember, Instance, Lock } from "../../engine/contract.ts";
import { checkEach } from "../../errors/check-each.ts";
import type { CallOptions, SnapshotRef, TakeGroupOptions } from "../api/strata.ts";
import { warnOfExcluded } from "../instances/disks.ts";
import { getInstances, whileAllLocked } from "../instances/instances.ts";
import { thenComeUp, whileStopped } from "../instances/stopped.ts";
import { requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { nextSnapshot } from "./names.ts";
import { outlineOf } from "./outline.ts";
import { snapshotRef } from "./ref.ts";
import { checkRequest, consistencyOf, recordOf, requireNew } from "./take.ts";

/** Takes snapshots of several instances at one moment, of all or of none. */
export async function takeGroup(
  session: Session,
  names: readonly string[],
  options: TakeGroupOptions = {},
  call?: CallOptions,
): Promise<SnapshotRef[]> {
  await checkRequest(session, options);
  const what = "taking snapshots of several instances at one moment";
  const takeAll = await requireGroup(session, "snapshot.group", what, ({ snapshots }) => snapshots.takeGroup);
  const context = contextOf(call);
  const chosen = await getInstances(session, names);
  const work = async (locks: readonly Lock[], started: Instance[]) => {
    const consistencies = await consistenciesOf(session, locks, options);
    const members = await membersOf(session, locks, consistencies, options);
    const running = locks.filter(({ instance }) => options.stop === true && instance.state === "running");
    return whileStopped(session, running, started, context, async () => {
      context.progress({ phase: "Taking snapshots" });
      const createdAt = Date.now();
      await takeAll(
        members.map(({ record, ...member }) => ({ ...member, record: { ...record, createdAt } })),
        context,
      );
      return members.map((member) => toRef(member, context));
    });
  };
  return thenComeUp(
    session,
    context,
    (started) => whileAllLocked(session, chosen, context, (locks) => work(locks, started)),
    (taken) => `snapshots ${taken.join(", ")} were taken`,
  );
}

function toRef({ lock, record }: GroupMember, context: Context): SnapshotRef {
  warnOfExcluded({ ...lock.instance, resources: record.resources }, context);
  return snapshotRef(lock.instance.name, record.name);
}

/** Frozen are those that run; where none does, there is nothing to freeze. */
async function consistenciesOf(
  session: Session,
  locks: readonly Lock[],
  options: TakeGroupOptions,
): Promise<readonly Consistency[]> {
  const { consistency, ...others } = options;
  const runs = ({ instance }: Lock) => instance.state === "running";
  const some = locks.some(runs);
  return checkEach(locks, (lock) =>
    consistencyOf(session, lock.instance, runs(lock) || !some ? options : others),
  );
}

/** What is recorded of each: the same name, free in all of them. */
async function membersOf(
  session: Session,
  locks: readonly Lock[],
  consistencies: readonly Consistency[],
  options: TakeGroupOptions,
): Promise<GroupMember[]> {
  const { snapshots: group } = await session.engine();
  const outlines = await checkEach(locks, ({ instance }) => outlineOf(group, instance.id));
  const most = Math.max(...locks.map(({ instance }) => instance.record.snapshotsTaken));
  const next = nextSnapshot(
    most,
    outlines.flatMap(({ names }) => names),
  );
  const { name = next.name, comment = "" } = options;
  const id = randomUUID();
  const members = locks.map((lock, at) => ({
    lock,
    outline: outlines[at] ?? { names: [], standsOn: null },
    consistency: consistencies[at] ?? "stopped",
  }));
  return checkEach(members, async ({ lock, outline, consistency }) => {
    const { instance } = lock;
    requireNew(instance, outline, name);
    const { disks } = instance.resources;
    const record = recordOf(instance, outline, { name, comment, consistency, disks, group: id });
    const taken = options.name === undefined ? next.taken : instance.record.snapshotsTaken + 1;
    return { lock, record, taken };
  });
}
