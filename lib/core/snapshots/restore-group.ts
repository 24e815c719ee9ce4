import type { Context, Lock } from "../../engine/contract.ts";
import { checkEach } from "../../errors/check-each.ts";
import type { CallOptions, RestoredMember, RestoreOptions } from "../api/strata.ts";
import { getInstances, whileAllLocked } from "../instances/instances.ts";
import { contextOf, type Session } from "../session/session.ts";
import type { FoundGroup } from "./groups.ts";
import { sayDeleted } from "./missing.ts";
import {
  type Back,
  comeBack,
  requireRestorable,
  restoredSentence,
  restoreLocked,
  resultOf,
  startRestored,
  uncancelled,
} from "./restore.ts";

/**
 * Restores all instances of a group; all are checked before the first is changed. What ran is started again when all
 * are restored, so that none meets another as it was before.
 */
export async function restoreGroup(
  { owner: session, snapshots, deleted }: FoundGroup,
  options: RestoreOptions = {},
  call?: CallOptions,
): Promise<RestoredMember[]> {
  const context = contextOf(call);
  // Where all of them are deleted, that is the error.
  const members = snapshots.length === 0 ? deleted : snapshots;
  const chosen = await getInstances(
    session,
    members.map(({ instance }) => instance),
  );
  sayDeleted(deleted, context);
  const all = await whileAllLocked(session, chosen, context, async (locks) => {
    const pairs = locks.flatMap((lock) => {
      const ref = snapshots.find(({ instance }) => instance === lock.instance.name);
      return ref === undefined ? [] : [{ lock, snapshot: ref.snapshot }];
    });
    await checkEach(pairs, ({ lock, snapshot }) =>
      requireRestorable(session, lock.instance, snapshot, options),
    );
    return restoreAll(session, pairs, options, context);
  });
  await eachInTurn(all, (back) => comeBack(session, back, context));
  return all.map((back) => ({ snapshot: back.snapshot, ...resultOf(back) }));
}

/** Whatever fails, those that are restored by then are started if they are to be. */
async function restoreAll(
  session: Session,
  pairs: readonly { readonly lock: Lock; readonly snapshot: string }[],
  options: RestoreOptions,
  context: Context,
): Promise<Back[]> {
  const done: { lock: Lock; back: Back }[] = [];
  try {
    for (const { lock, snapshot } of pairs) {
      done.push({ lock, back: await restoreLocked(session, lock, snapshot, options, context) });
    }
  } catch (error) {
    for (const { lock, back } of done) {
      // A warning says what could not be started; the first error is the one to report.
      await startRestored(session, lock, back, uncancelled(context)).then(
        () => context.warn?.(restoredSentence(back, back.starts ? " and started" : "")),
        () => {},
      );
    }
    throw error;
  }
  await eachInTurn(done, ({ lock, back }) => startRestored(session, lock, back, context));
  return done.map(({ back }) => back);
}

/** Does it for all, whatever fails, and passes the first error on. */
async function eachInTurn<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const errors: unknown[] = [];
  for (const item of items) {
    await work(item).catch((error: unknown) => errors.push(error));
  }
  if (errors.length > 0) {
    throw errors[0];
  }
}
