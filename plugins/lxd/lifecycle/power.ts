import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { quote } from "../../../lib/util/quote.ts";
import { getLocked, instancePath } from "../domain/managed.ts";
import { changePower } from "../domain/power.ts";
import { readState } from "../domain/view.ts";
import type { LxdEngine } from "../engine.ts";
import { isSaid } from "../errors.ts";
import { getReady } from "../journal/recovery.ts";
import { SHUTDOWN_TIMED_OUT } from "../messages.ts";
import { firstError } from "../mounts/id-map-trial.ts";

export async function start(engine: LxdEngine, id: string, context: Context): Promise<void> {
  const { name, instance } = await getReady(engine, id);
  const state = readState(instance.status);
  if (state === "running") {
    return;
  }
  context.signal.throwIfAborted();
  context.progress({ phase: "Starting" });
  if (state === "suspended") {
    await changePower(engine, name, { action: "unfreeze" });
    return;
  }
  await changePower(engine, name, { action: "start" }).catch(async (error: unknown) => {
    const reason = await logged(engine, name);
    if (reason === undefined) {
      throw error;
    }
    throw failure(
      "ENGINE_ERROR",
      { engine: engine.flavour.title, reason: `"${name}" does not start: ${reason}` },
      error,
    );
  });
}

/** Why a start failed, from the container's own log: LXD itself gives no reason. */
async function logged({ client }: LxdEngine, name: string): Promise<string | undefined> {
  const log = await client.text(instancePath(name, "logs", "lxc.log")).catch(() => "");
  return firstError(log);
}

/** Freezes all processes in memory; they are lost if the host goes down. */
export async function suspend(engine: LxdEngine, id: string, context: Context): Promise<void> {
  const { name, instance } = await getReady(engine, id);
  const state = readState(instance.status);
  if (state === "suspended") {
    return;
  }
  if (state !== "running") {
    throw failure("WRONG_STATE", {
      name,
      reason: "Only running instances can be suspended",
      state: instance.status,
    });
  }
  context.signal.throwIfAborted();
  context.progress({ phase: "Suspending" });
  await changePower(engine, name, { action: "freeze" });
}

export async function stop(
  engine: LxdEngine,
  id: string,
  options: { readonly grace: number } | "force",
  context: Context,
): Promise<void> {
  const { name, instance } = await getLocked(engine, id);
  const state = readState(instance.status);
  if (state === "stopped") {
    return;
  }
  if (state === "suspended" && options !== "force") {
    throw failure("INSTANCE_SUSPENDED", { name, reason: "A suspended instance cannot be shut down" });
  }
  context.progress({ phase: "Stopping" });
  if (options === "force") {
    await changePower(engine, name, { action: "stop", force: true });
    return;
  }
  // LXD uses whole seconds, and treats 0 as no limit.
  const seconds = Math.max(1, Math.ceil(options.grace / 1000));
  const wait = { since: Date.now(), timeout: seconds * 1000 };
  context.progress({ phase: `Waiting for ${name} to shut down`, wait });
  const body = { action: "stop", force: false, timeout: seconds };
  const { id: operation } = await engine.client.start("PUT", instancePath(name, "state"), body);
  try {
    await orAborted(engine.client.wait(operation), context.signal);
  } catch (error) {
    if (!isSaid(error, SHUTDOWN_TIMED_OUT)) {
      throw error;
    }
    throw failure(
      "TIMEOUT",
      { seconds, what: `"${name}" did not shut down; \`strata stop --force ${quote(name)}\` cuts its power` },
      error,
    );
  }
}

/** A shutdown cannot be taken back: only the wait can be cancelled. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(failure("CANCELLED", {}, signal.reason));
    if (signal.aborted) {
      abort();
    } else {
      signal.addEventListener("abort", abort, { once: true });
    }
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
