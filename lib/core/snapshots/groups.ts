import type { Snapshot } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import { fewAtOnce } from "../../util/few-at-once.ts";
import type { SnapshotGroup, SnapshotRef } from "../api/strata.ts";
import { unlessGone } from "../instances/instances.ts";
import { gather } from "../session/engines.ts";
import type { Session } from "../session/session.ts";
import { snapshotRef } from "./ref.ts";
import { treeOf } from "./snapshots.ts";

/** So much of an id is enough to name a group. */
const SHORT_ID = /^[0-9a-f]{8}[0-9a-f-]*$/;

interface Member {
  readonly owner: Session;
  readonly ref: SnapshotRef;
  readonly group: string;
  readonly deleted: boolean;
}

/** Snapshots that were taken together, and the session of the engine that has them. */
export interface FoundGroup extends SnapshotGroup {
  readonly owner: Session;
}

/** The group of that name or id, among the snapshots of all engines. */
export async function findGroup(session: Session, name: string): Promise<FoundGroup> {
  const members = await gather(session, membersIn);
  const called = members.filter(({ ref }) => ref.snapshot === name);
  const named = called.length > 0 || !SHORT_ID.test(name);
  const found = named ? called : members.filter(({ group }) => group.startsWith(name));
  const ids = [...new Set(found.map(({ group }) => group))];
  const [first] = found;
  if (first === undefined) {
    throw failure("GROUP_NOT_FOUND", { group: name });
  }
  const all = ids.map((id) => members.filter(({ group }) => group === id));
  if (all.length > 1) {
    const each = all.map((group) => `${group[0]?.group.slice(0, 8)} (${instancesOf(group)})`);
    throw failure("INVALID_VALUE", {
      what: "the group",
      value: name,
      reason: `several are called so; give the id of one: ${each.join(", ")}`,
    });
  }
  const refs = (deleted: boolean) =>
    members
      .filter((each) => each.group === first.group && each.deleted === deleted)
      .map(({ ref }) => ref)
      .sort((a, b) => (`${a}` < `${b}` ? -1 : 1));
  return { owner: first.owner, id: first.group, snapshots: refs(false), deleted: refs(true) };
}

function instancesOf(group: readonly Member[]): string {
  return group.map(({ ref }) => ref.instance).join(", ");
}

/** Every snapshot of an engine that was taken with others. */
async function membersIn(owner: Session): Promise<Member[]> {
  const { instances } = await owner.engine();
  const trees = await fewAtOnce(await instances.list(), (instance) =>
    unlessGone({ skipMissing: true }, async () => ({ instance, tree: await treeOf(owner, instance) })),
  );
  return trees
    .filter((each) => each !== undefined)
    .flatMap(({ instance, tree }) =>
      tree.snapshots.filter(isGrouped).map(({ name, group }) => ({
        owner,
        ref: snapshotRef(instance.name, name),
        group,
        deleted: instance.record.deleted,
      })),
    );
}

function isGrouped(snapshot: Snapshot): snapshot is Snapshot & { readonly group: string } {
  return snapshot.group !== undefined;
}
