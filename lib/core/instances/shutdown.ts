import { text } from "node:stream/consumers";
import type { Context, Instance } from "../../backend/contract.ts";
import { failure } from "../../errors.ts";
import { execIn } from "../guest/guest.ts";
import type { Session } from "../session/session.ts";
import { awaitsShutdown } from "./instances.ts";

const MINUTE = 60_000;
/** How long the guest may take to obey, ms. */
const PATIENCE = 30_000;

/**
 * Tells the guest to shut down by itself after a while, ms, rounded up to minutes: it warns whoever is
 * logged in, and nothing of ours has to stay alive until then. Told again, the last time counts. Needs a
 * hold on a running instance.
 */
export async function scheduleShutdown(
  session: Session,
  instance: Instance,
  after: number,
  context: Context,
): Promise<void> {
  const { instances } = await session.backend();
  const { id, name } = instance;
  const minutes = Math.ceil(after / MINUTE);
  const warning = `"strata stop --cancel ${name}" calls it off.`;
  // Marked first: a shutdown that nobody can see coming would be worse than a mark without one.
  await instances.annotate(id, { shutdownAt: Date.now() + minutes * MINUTE });
  try {
    await shutdownInside(session, instance, ["-h", `+${minutes}`, warning], context);
  } catch (error) {
    await instances.annotate(id, { shutdownAt: instance.record.shutdownAt ?? 0 });
    throw error;
  }
}

/** Calls a delayed shutdown off; without one, does nothing. Needs a hold. */
export async function cancelShutdown(session: Session, instance: Instance, context: Context): Promise<void> {
  if (awaitsShutdown(instance)) await shutdownInside(session, instance, ["-c"], context);
  await forgetShutdown(session, instance);
}

/** Takes the mark of a shutdown away that has been or will not be. Needs a hold. */
export async function forgetShutdown(session: Session, { id, record }: Instance): Promise<void> {
  if (!record.shutdownAt) return;
  await (await session.backend()).instances.annotate(id, { shutdownAt: 0 });
}

async function shutdownInside(
  session: Session,
  instance: Instance,
  args: readonly string[],
  { signal }: Context,
): Promise<void> {
  const options = { user: "root", timeout: PATIENCE, signal, held: true };
  const running = await execIn(session, instance, ["shutdown", ...args], options);
  running.stdin.end();
  running.stdout.resume();
  const complaint = await text(running.stderr);
  const { code } = await running.exit;
  if (code !== 0)
    throw failure("PROGRAM_FAILED", {
      program: `shutdown in "${instance.name}"`,
      reason: complaint.trim() || `it ended with ${code}`,
    });
}
