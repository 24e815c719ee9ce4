import type { Context, Instance, Lock } from "../../engine/contract.ts";
import { checkEach } from "../../errors/check-each.ts";
import { asStrataError, failure } from "../../errors.ts";
import { defined } from "../../util/defined.ts";
import { quote } from "../../util/quote.ts";
import type { EachOptions, StopOptions } from "../api/strata.ts";
import { setClock } from "../guest/clock.ts";
import { withoutMounts } from "../guest/mounts.ts";
import { refreshInclude } from "../guest/ssh-include.ts";
import type { Work } from "../session/engines.ts";
import { requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { awaitBoot, boot, forgetBoot, START_TIMEOUT } from "./boot.ts";
import { awaitsShutdown, eachLocked, getInstances, unlessGone, whileLocked } from "./instances.ts";
import { cancelShutdown, forgetShutdown, scheduleShutdown } from "./shutdown.ts";

/** How long `stop --force` waits for another operation on the instance, ms. */
const CUT_LOCK_TIMEOUT_MS = 5000;
/** How long a guest may take to shut down, ms. */
export const STOP_TIMEOUT = 120_000;

export async function start(
  session: Session,
  names: readonly string[],
  options: { readonly timeout?: number } = {},
  call?: EachOptions,
): Promise<Work> {
  const context = contextOf(call);
  const chosen = await getInstances(session, names, {}, call);
  return async () => {
    for (const instance of chosen) {
      await unlessGone(call, () => startOne(session, instance, options.timeout ?? START_TIMEOUT, context));
    }
  };
}

/**
 * Starts an instance and waits for its guest. Waiting needs no lock, so others may read or stop it. Starting
 * an instance that is about to shut down cancels the shutdown.
 */
export async function startOne(
  session: Session,
  instance: Instance,
  timeout: number,
  context: Context,
): Promise<void> {
  const resumed = await whileLocked(session, instance, context, async (lock) => {
    await cancelShutdown(session, lock, context);
    await boot(session, lock, context);
    return lock.instance.state === "suspended";
  });
  await comeUp(session, instance, context, { timeout, resumed });
}

/** Waits for the guest of an instance that was started; one that was resumed has to be told the time. */
export async function comeUp(
  session: Session,
  instance: Instance,
  context: Context,
  {
    timeout = START_TIMEOUT,
    resumed = false,
  }: { readonly timeout?: number; readonly resumed?: boolean } = {},
): Promise<void> {
  await awaitBoot(session, instance, timeout, context);
  if (resumed) {
    await setClock(session, instance, context);
  }
  await refreshInclude(session, context);
}

export async function stop(
  session: Session,
  names: readonly string[],
  options: StopOptions = {},
  call?: EachOptions,
): Promise<Work> {
  const chosen = await getInstances(session, names, {}, call);
  const context = contextOf(call);
  return async () => {
    for (const instance of chosen) {
      await unlessGone(call, () => stopOne(session, instance, options, context));
    }
  };
}

/**
 * Stops an instance, whatever an interrupted operation has left. Cutting the power does not wait long for
 * another operation either, if the engine can do without the lock.
 */
async function stopOne(
  session: Session,
  instance: Instance,
  options: StopOptions,
  context: Context,
): Promise<void> {
  const { instances } = await session.engine();
  const cuts = options.force === true && instances.cut !== undefined;
  const wait = cuts ? { wait: CUT_LOCK_TIMEOUT_MS } : {};
  const work = (lock: Lock) => {
    if (options.cancel === true && !awaitsShutdown(lock.instance)) {
      sayNothingToDo(`"${instance.name}" has no delayed shutdown to cancel`, options);
    } else if (options.cancel !== true && lock.instance.state === "stopped") {
      // Layers that waited for a stop are merged all the same.
      sayNothingToDo(`"${instance.name}" is already Stopped`, options);
    }
    return stopLocked(session, lock, options, context);
  };
  try {
    await whileLocked(session, instance, context, work, { ...wait, finish: false });
  } catch (error) {
    if (!cuts || asStrataError(error).code !== "BUSY") {
      throw error;
    }
    await instances.cut?.(instance.id, context);
    context.warn?.(
      `another operation on "${instance.name}" is in progress; the power was cut, and the next stop merges layers`,
    );
  }
}

/** Stops a locked instance, and forgets what was to happen with it. */
export async function stopLocked(
  session: Session,
  lock: Lock,
  options: StopOptions,
  context: Context,
): Promise<void> {
  const { instances } = await session.engine();
  const { name, state, resumes } = lock.instance;
  if (options.cancel === true) {
    return cancelShutdown(session, lock, context);
  }
  if (state === "suspended" && options.force !== true) {
    const effect =
      resumes === undefined
        ? "discards its saved memory"
        : `has it boot from its disks, and not resume ${resumes}`;
    return context.warn?.(
      `"${name}" is Suspended, so there is nothing to shut down; \`strata stop --force ${quote(name)}\` ${effect}`,
    );
  }
  if (options.after !== undefined && options.after > 0) {
    if (state !== "stopped") {
      await scheduleShutdown(session, lock, options.after, context);
    }
    return;
  }
  const how = options.force === true ? "force" : { grace: options.timeout ?? STOP_TIMEOUT };
  await instances.stop(lock, how, context);
  await forgetShutdown(session, lock);
  await forgetBoot(session, lock);
}

/** Saves the memory and stops; an instance that does not run has no memory to save and is left alone. */
export async function suspend(session: Session, names: readonly string[], call?: EachOptions): Promise<Work> {
  const save = await requireGroup(session, "suspend", "suspending", ({ instances }) => instances.suspend);
  const chosen = await getInstances(session, names, {}, call);
  return () =>
    eachLocked(session, chosen, call, async (lock, context) => {
      const { name, state } = lock.instance;
      if (state === "stopped" || state === "suspended") {
        const reason = state === "stopped" ? "Stopped, so it has no memory to save" : "already Suspended";
        return sayNothingToDo(`"${name}" is ${reason}`, call);
      }
      // A guest with a scheduled shutdown would shut down as soon as it is resumed.
      await cancelShutdown(session, lock, context);
      await withoutMounts(session, lock, context, () => save(lock, context));
    });
}

/** Says that a verb changes nothing, unless it is about all instances there are. */
function sayNothingToDo(why: string, call: EachOptions | undefined): void {
  if (call?.skipMissing !== true) {
    call?.warn?.(why);
  }
}

/**
 * A suspended instance cannot be restarted: resuming it would not be a restart, and a fresh start would lose
 * its memory.
 */
function requireAwake({ name, state }: Instance): void {
  if (state === "suspended") {
    throw failure("INSTANCE_SUSPENDED", { name, reason: "A suspended instance cannot be restarted" });
  }
}

export async function restart(
  session: Session,
  names: readonly string[],
  options: { readonly timeout?: number } = {},
  call?: EachOptions,
): Promise<Work> {
  const context = contextOf(call);
  const chosen = await getInstances(session, names, {}, call);
  await checkEach(chosen, async (instance) => requireAwake(instance));
  const restartOne = async (instance: Instance) => {
    await whileLocked(session, instance, context, async (lock) => {
      requireAwake(lock.instance);
      await stopLocked(session, lock, {}, context);
      await boot(session, lock, context, "stopped");
    });
    await comeUp(session, instance, context, defined({ timeout: options.timeout }));
  };
  return async () => {
    for (const instance of chosen) {
      await unlessGone(call, () => restartOne(instance));
    }
  };
}
