import type { Readable } from "node:stream";
import type { Context, Lock } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import type { CallOptions, Receiver } from "../api/strata.ts";
import { contextOf, type Session } from "../session/session.ts";
import { checkName } from "../snapshots/names.ts";
import { forgetAliases } from "./aliases.ts";
import { getInstance, isMoving, requireStopped, whileLocked } from "./instances.ts";
import { importInstance, portableOf, writeLocked } from "./portable.ts";

/**
 * Gives a stopped instance to another host. It is on both only while neither may use it: it arrives there unusable,
 * becomes unusable here, is made usable there, and is removed here. Cut off anywhere, it goes on when it is repeated.
 */
export async function handOver(
  session: Session,
  name: string,
  receiver: Receiver,
  call?: CallOptions,
): Promise<void> {
  const context = contextOf(call);
  const { instances } = await session.engine();
  const instance = await getInstance(session, name, { deleted: "allowed" });
  await whileLocked(session, instance, context, async (lock) => {
    const { id, record } = lock.instance;
    if (record.deleted || record.transit?.phase === "arriving") {
      throw failure(record.deleted ? "INSTANCE_DELETED" : "INSTANCE_MOVING", { name });
    }
    // The other host may have lost what it had when an earlier attempt was cut off.
    const isThere = isMoving(lock.instance) && (await receiver.admit(id));
    if (!isThere) {
      await send(session, lock, receiver, context);
    }
    await instances.remove(lock, context);
  });
  await forgetAliases(session, [name]);
}

async function send(session: Session, lock: Lock, receiver: Receiver, context: Context): Promise<void> {
  const { instances } = await session.engine();
  const { id, name } = lock.instance;
  if (isMoving(lock.instance)) {
    await instances.annotate(lock, { transit: { id, phase: "arrived" } });
  }
  requireStopped(lock.instance, "Only stopped instances can be moved");
  const parcel = await (await portableOf(session, "moving")).pack(lock, {}, context);
  if (parcel.left.length > 0) {
    const reason = `it would lose ${parcel.left.join(", ")}`;
    throw failure("UNSUPPORTED", { what: `moving "${name}"`, engine: session.engineName, reason });
  }
  await receiver.accept(id, (to) => writeLocked(session, lock, parcel, to, {}, context));
  await instances.annotate(lock, { transit: { id, phase: "leaving" } });
  if (!(await receiver.admit(id))) {
    await instances.annotate(lock, { transit: { id, phase: "arrived" } });
    throw failure("TRANSFER_FAILED", { path: name, reason: "the other host has lost it" });
  }
}

/** Takes in what another host hands over, unusable until it is admitted. */
export async function takeIn(
  session: Session,
  from: Readable,
  { name, id }: { readonly name: string; readonly id: string },
  call?: CallOptions,
): Promise<void> {
  checkName("instance", name);
  const { instances } = await session.engine();
  const earlier = await instances.find(name);
  if (earlier?.record.transit?.id === id && earlier.record.transit.phase === "arriving") {
    const context = contextOf(call);
    await whileLocked(session, earlier, context, async (lock) => {
      // Nobody can have used it, and the other host has it.
      if (lock.instance.record.transit?.phase === "arriving") {
        await instances.remove(lock, context);
      }
    });
  }
  const transit = { id, phase: "arriving" } as const;
  await importInstance(session, from, { name, identity: "keep", transit }, call);
}

/** Makes usable what has arrived; resolves to false if it is not here. */
export async function admit(
  session: Session,
  name: string,
  id: string,
  call?: CallOptions,
): Promise<boolean> {
  checkName("instance", name);
  const { instances } = await session.engine();
  const found = await instances.find(name);
  if (found?.record.transit?.id !== id) {
    return false;
  }
  return whileLocked(session, found, contextOf(call), async (lock) => {
    if (lock.instance.record.transit?.phase === "arriving") {
      await instances.annotate(lock, { transit: { id, phase: "arrived" } });
    }
    return lock.instance.record.transit?.id === id;
  });
}
