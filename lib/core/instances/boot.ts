import type { Context, EngineState, Instance, Lock } from "../../engine/contract.ts";
import { asStrataError } from "../../errors.ts";
import { awaitAnswer, awaitReady, canLogIn } from "../guest/guest.ts";
import { contextOf, type Session } from "../session/session.ts";
import { getInstance, whileLocked } from "./instances.ts";

/** How long a guest may take to answer after its start, ms: emulated ones are slow. */
export const START_TIMEOUT = 300_000;

/**
 * How long recording that a guest answers waits for another operation, ms. The guest is ready in any case.
 */
const NOTE_LOCK_TIMEOUT_MS = 5000;

/**
 * Starts a locked instance that is stopped or suspended. From then on it is shown as Starting until the first
 * login works. `state` is the current one if that of the lock is older.
 */
export async function boot(
  session: Session,
  lock: Lock,
  context: Context,
  state: EngineState = lock.instance.state,
): Promise<void> {
  const { instances } = await session.engine();
  if (state === "stopped" && (await canLogIn(session, lock.instance))) {
    await instances.annotate(lock, { startingAt: Date.now() });
  }
  await instances.start(lock, context);
}

/** Removes the mark of a boot for which there will be no login. */
export async function forgetBoot(session: Session, lock: Lock): Promise<void> {
  if (lock.instance.record.startingAt) {
    await (await session.engine()).instances.annotate(lock, { startingAt: 0 });
  }
}

/**
 * Waits until commands can run in a guest that boots, and records that they can. Needs no lock, so others may
 * read or stop the instance.
 */
export async function awaitBoot(
  session: Session,
  instance: Instance,
  timeout: number,
  context: Context,
): Promise<void> {
  // Read before waiting, because another boot of the same instance has a different mark.
  const { record } = await getInstance(session, instance.name);
  await awaitReady(session, instance, timeout, context);
  if (record.startingAt) {
    await noteAnswer(session, instance, record.startingAt);
  }
}

/** Waits until a login works or, with "boot", cloud-init has finished as well, and notes that the guest answers. */
export async function awaitLogin(
  session: Session,
  instance: Instance,
  until: "login" | "boot",
  timeout: number,
  context: Context,
): Promise<void> {
  const { startingAt } = instance.record;
  await awaitAnswer(session, instance, until, timeout, context);
  if (startingAt) {
    await noteAnswer(session, instance, startingAt);
  }
}

async function noteAnswer(session: Session, instance: Instance, startingAt: number): Promise<void> {
  const note = async (lock: Lock) => {
    if (lock.instance.record.startingAt === startingAt) {
      await forgetBoot(session, lock);
    }
  };
  const options = { wait: NOTE_LOCK_TIMEOUT_MS, finish: false };
  await whileLocked(session, instance, contextOf(), note, options).catch((error: unknown) => {
    // It is shown as Starting for longer, until the next login records it.
    session.log.warn(
      `it could not be noted that the guest of "${instance.name}" answers: ${asStrataError(error).message}`,
    );
  });
}
