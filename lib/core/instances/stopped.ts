import type { Context, Instance, Lock } from "../../engine/contract.ts";
import { asStrataError } from "../../errors.ts";
import { quote } from "../../util/quote.ts";
import { contextOf, type Session } from "../session/session.ts";
import { boot } from "./boot.ts";
import { comeUp, stopLocked } from "./lifecycle.ts";

/**
 * Shuts running instances down for something, and starts them again in any case. `started` gets each, whose guest has
 * still to come up.
 */
export async function whileStopped<T>(
  session: Session,
  locks: readonly Lock[],
  started: Instance[],
  context: Context,
  work: () => Promise<T>,
): Promise<T> {
  const [lock, ...others] = locks;
  if (lock === undefined) {
    return work();
  }
  await stopLocked(session, lock, {}, context).catch((error: unknown) => {
    if (context.signal.aborted) {
      const { name } = lock.instance;
      context.warn?.(`"${name}" may still shut down; \`strata start ${quote(name)}\` starts it again`);
    }
    throw error;
  });
  // Not to be cancelled: it ran before.
  const again = async () => {
    await boot(session, lock, { ...context, signal: contextOf().signal }, "stopped");
    started.push(lock.instance);
  };
  let done: T;
  try {
    done = await whileStopped(session, others, started, context, work);
  } catch (error) {
    await again().catch((late: unknown) => context.warn?.(asStrataError(late).message));
    throw error;
  }
  await again();
  return done;
}

/**
 * Waits for the guests of instances that something has started again, without their locks. If that something has
 * failed, its error is the one to report; else it is that of a guest, and `told` says what was done all the same.
 */
export async function thenComeUp<T>(
  session: Session,
  context: Context,
  work: (started: Instance[]) => Promise<T>,
  told: (done: T) => string,
): Promise<T> {
  const started: Instance[] = [];
  let done: T;
  try {
    done = await work(started);
  } catch (error) {
    for (const instance of context.signal.aborted ? [] : started) {
      await comeUp(session, instance, context).catch((late: unknown) =>
        context.warn?.(asStrataError(late).message),
      );
    }
    throw error;
  }
  try {
    for (const instance of started) {
      await comeUp(session, instance, context);
    }
  } catch (error) {
    context.warn?.(told(done));
    throw error;
  }
  return done;
}
