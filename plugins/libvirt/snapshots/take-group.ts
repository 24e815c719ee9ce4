import type { Context, GroupMember, SnapshotRecord } from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { failure } from "../../../lib/errors.ts";
import { newUuid } from "../../../lib/util/uuid.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import { ENGINE } from "../errors.ts";
import type { Domain, DomainSnapshot } from "../rpc/index.ts";
import { TAKE } from "./freeze.ts";
import { withAgent } from "./live-guest.ts";
import { beginGroup, commitGroup, endGroup } from "./pending-group.ts";
import { announce, type Preparation, prepareTake, writeFiles } from "./preparation.ts";
import { complete, settle } from "./take.ts";

/** A member whose take has begun. */
interface Begun {
  readonly preparation: Preparation;
  readonly written: Managed;
  document: string;
  snapshot?: DomainSnapshot;
  /** Why its guest could not be told to go on: whoever finishes its take does. */
  stuck?: unknown;
}

/** Takes snapshots of several instances at one moment: of all, or of none. */
export async function takeGroup(
  engine: LibvirtEngine,
  members: readonly GroupMember[],
  context: Context,
): Promise<void> {
  const group = members[0]?.record.group ?? newUuid();
  const preparations: Preparation[] = [];
  for (const { lock, record, taken } of members) {
    requireDisksOnly(lock.instance.name, record);
    const id = lockedId(engine, lock);
    preparations.push(await prepareTake(engine, id, { ...record, group }, { taken }, context));
  }
  context.signal.throwIfAborted();
  await beginGroup(
    engine,
    group,
    preparations.map(({ managed }) => managed.domain.uuid),
  );
  const begun: Begun[] = [];
  try {
    for (const preparation of preparations) {
      begun.push({ preparation, written: await announce(preparation), document: "" });
    }
    for (const member of begun) {
      member.document = await writeFiles(member.preparation);
    }
    await takeAll(begun);
    await commitGroup(engine, group);
  } catch (error) {
    await undo(engine, group, begun, error);
    return;
  }
  for (const { preparation, written, snapshot, stuck } of begun) {
    const done =
      snapshot === undefined || stuck !== undefined
        ? Promise.reject(stuck)
        : complete(engine, preparation, written, snapshot);
    await done.catch((error: unknown) => settle(engine, preparation, error));
  }
}

function requireDisksOnly(name: string, { consistency }: SnapshotRecord): void {
  if (consistency === "memory") {
    throw failure("UNSUPPORTED", {
      what: `a snapshot of "${name}" with its memory together with others`,
      engine: ENGINE,
      reason: "libvirt saves the memory of each guest at a moment of its own",
    });
  }
}

/** Has libvirt take the snapshots: of those that are stopped first, since only running ones share a moment. */
async function takeAll(begun: readonly Begun[]): Promise<void> {
  const running = begun.filter(({ preparation }) => preparation.live);
  for (const member of begun.filter(({ preparation }) => !preparation.live)) {
    await takeOne(member);
  }
  const domains = running.map(({ preparation }) => preparation.managed.domain);
  const quiesced = running.filter(({ preparation }) => preparation.record.consistency === "files");
  try {
    await allOf(quiesced, ({ preparation: { managed } }) =>
      withAgent(managed, () => managed.domain.fsFreeze()),
    );
    try {
      // The moment is when all are paused: each writes nothing any more that was caused by another's later writes.
      await allOf(domains, (domain) => domain.suspend());
      await allOf(running, takeOne);
    } finally {
      await letAllGo(running, (domain) => domain.resume());
    }
  } finally {
    await letAllGo(quiesced, (domain) => domain.fsThaw());
  }
}

/** Lets all guests go on, of which one must not keep the others waiting. */
async function letAllGo(
  members: readonly Begun[],
  work: (domain: Domain) => Promise<unknown>,
): Promise<void> {
  await Promise.all(
    members.map((member) =>
      work(member.preparation.managed.domain).catch((error: unknown) => {
        member.stuck = error;
      }),
    ),
  );
}

/** Does it to all at once, and rejects once all have ended: nothing may be undone while libvirt is at work on it. */
async function allOf<T>(members: readonly T[], work: (member: T) => Promise<unknown>): Promise<void> {
  const results = await Promise.allSettled(members.map(work));
  const failed = results.find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") {
    throw failed.reason;
  }
}

async function takeOne(member: Begun): Promise<void> {
  member.snapshot = await member.preparation.managed.domain.createSnapshot(member.document, TAKE);
}

/** Undoes the takes of all members. Rejects with the error, unless the group had been made before it came. */
async function undo(
  engine: LibvirtEngine,
  group: string,
  begun: readonly Begun[],
  error: unknown,
): Promise<void> {
  const failed: unknown[] = [];
  for (const { preparation } of begun) {
    await settle(engine, preparation, error).catch((reason: unknown) => failed.push(reason));
  }
  await endGroup(engine, group);
  if (begun.length === 0 || failed.length > 0) {
    throw failed[0] ?? error;
  }
}
