import { text } from "node:stream/consumers";
import type { Context, Lock } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import { execIn } from "../guest/guest.ts";
import type { Session } from "../session/session.ts";
import { awaitsShutdown } from "./instances.ts";

const MINUTE = 60_000;
/** How long the guest's command may take, ms. */
const GUEST_TIMEOUT_MS = 30_000;

/**
 * Schedules a shutdown in the guest after a time in ms, rounded up to minutes. The guest warns logged-in
 * users, and no process of strata has to stay alive. A second call replaces the first. The instance must run.
 */
export async function scheduleShutdown(
  session: Session,
  lock: Lock,
  after: number,
  context: Context,
): Promise<void> {
  const { instances } = await session.engine();
  const { name, record } = lock.instance;
  const minutes = Math.ceil(after / MINUTE);
  const warning = `"strata stop --cancel ${name}" cancels it.`;
  // Recorded first: a shutdown that is not shown would be worse than a record without one.
  await instances.annotate(lock, { shutdownAt: Date.now() + minutes * MINUTE });
  try {
    await shutdownInside(session, lock, ["-h", `+${minutes}`, warning], context);
  } catch (error) {
    await instances.annotate(lock, { shutdownAt: record.shutdownAt ?? 0 });
    throw error;
  }
}

/** Cancels a delayed shutdown; does nothing if there is none. */
export async function cancelShutdown(session: Session, lock: Lock, context: Context): Promise<void> {
  if (awaitsShutdown(lock.instance)) {
    await shutdownInside(session, lock, ["-c"], context);
  }
  await forgetShutdown(session, lock);
}

/** Removes the record of a shutdown that has happened or will not happen. */
export async function forgetShutdown(session: Session, lock: Lock): Promise<void> {
  if (!lock.instance.record.shutdownAt) {
    return;
  }
  await (await session.engine()).instances.annotate(lock, { shutdownAt: 0 });
}

async function shutdownInside(
  session: Session,
  lock: Lock,
  args: readonly string[],
  { signal }: Context,
): Promise<void> {
  const options = { user: "root", timeout: GUEST_TIMEOUT_MS, signal, lock };
  const running = await execIn(session, lock.instance, ["shutdown", ...args], options);
  running.stdin.end();
  running.stdout.resume();
  const complaint = await text(running.stderr);
  const { code } = await running.exit;
  if (code !== 0) {
    throw failure("PROGRAM_FAILED", {
      program: `shutdown in "${lock.instance.name}"`,
      reason: complaint.trim() || `it exited with status ${code}`,
    });
  }
}
