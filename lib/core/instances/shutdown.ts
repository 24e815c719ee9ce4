import { text } from "node:stream/consumers";
import type { Context, Lock } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import { execIn } from "../guest/guest.ts";
import type { Session } from "../session/session.ts";
import { awaitsShutdown } from "./instances.ts";

const MINUTE = 60_000;
/** How long the guest may take to obey, ms. */
const GUEST_TIMEOUT_MS = 30_000;

/**
 * Tells the guest to shut down by itself after a while, ms, rounded up to minutes: it warns whoever is
 * logged in, and nothing of ours has to stay alive until then. Told again, the last time counts. The
 * instance must run.
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
  // Marked first: a shutdown that nobody can see coming would be worse than a mark without one.
  await instances.annotate(lock, { shutdownAt: Date.now() + minutes * MINUTE });
  try {
    await shutdownInside(session, lock, ["-h", `+${minutes}`, warning], context);
  } catch (error) {
    await instances.annotate(lock, { shutdownAt: record.shutdownAt ?? 0 });
    throw error;
  }
}

/** Calls a delayed shutdown off; without one, does nothing. */
export async function cancelShutdown(session: Session, lock: Lock, context: Context): Promise<void> {
  if (awaitsShutdown(lock.instance)) {
    await shutdownInside(session, lock, ["-c"], context);
  }
  await forgetShutdown(session, lock);
}

/** Takes the mark of a shutdown away that has been or will not be. */
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
