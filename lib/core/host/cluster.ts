import type { Instance } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import { quote } from "../../util/quote.ts";
import type { CallOptions } from "../api/strata.ts";
import { getInstance, requireStopped, whileLocked } from "../instances/instances.ts";
import { requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { formatRef } from "../snapshots/ref.ts";

/** Moves a stopped instance with its snapshots to another member of the cluster. */
export async function move(
  session: Session,
  name: string,
  member: string,
  call?: CallOptions,
): Promise<void> {
  const context = contextOf(call);
  const cluster = await requireGroup(session, "cluster", "moving instances", (engine) => engine.cluster);
  const instance = await getInstance(session, name);
  await whileLocked(session, instance, context, async (lock) => {
    const fresh = lock.instance;
    requireStopped(fresh, "Only stopped instances can be moved");
    const stays = fresh.member === member;
    if (!stays) {
      await requireMovable(session, fresh, member);
    }
    await cluster.move(lock, member, context);
    const left = stays ? [] : await snapshotsWithMounts(session, fresh);
    if (left.length > 0) {
      context.warn?.(
        `${left.join(", ")}: the mounts recorded there are folders of ${fresh.member}; a restore will mount the folders of ${member} at the same paths`,
      );
    }
  });
}

/** A mount refers to a folder of the instance's host; on another host the same path is another folder. */
async function requireMovable(session: Session, { name, member, mounts }: Instance, to: string) {
  const [first] = mounts;
  if (first === undefined) {
    return;
  }
  const { engine } = await session.info();
  throw failure("UNSUPPORTED", {
    what: `moving "${name}" to ${to} with its mounts`,
    engine,
    reason: `the folder ${first.source} stays on ${member}; \`strata umount ${quote(name)}\` removes its mounts`,
  });
}

async function snapshotsWithMounts(session: Session, instance: Instance): Promise<string[]> {
  if (instance.snapshotCount === 0) {
    return [];
  }
  const { snapshots } = await (await session.engine()).snapshots.tree(instance.id);
  const mounted = snapshots.filter(({ mounts }) => mounts.length > 0);
  return mounted.map((snapshot) => formatRef({ instance: instance.name, snapshot: snapshot.name }));
}
