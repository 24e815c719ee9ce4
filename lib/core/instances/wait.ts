import { setTimeout as delay } from "node:timers/promises";
import type { Context, Instance } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import type { CallOptions, WaitOptions, WaitState } from "../api/strata.ts";
import { withConsole } from "../guest/console.ts";
import { hasAddress } from "../guest/guest.ts";
import type { Work } from "../session/engines.ts";
import { contextOf, type Session } from "../session/session.ts";
import { awaitLogin, START_TIMEOUT } from "./boot.ts";
import { getInstance, getInstances } from "./instances.ts";

/** Between two looks, ms. */
const POLL_INTERVAL_MS = 500;

/** The least that a login is given, ms. */
const LOGIN_TIMEOUT_MS = 1000;

/** What is missing, by what is waited for. */
const MISSING = {
  running: "it is not running",
  stopped: "it is not stopped",
  address: "no address yet",
} as const;

/** Waits until instances are in a state, all within the same time. Nobody is kept from changing them meanwhile. */
export async function wait(
  session: Session,
  names: readonly string[],
  options: WaitOptions,
  call?: CallOptions,
): Promise<Work> {
  const context = contextOf(call);
  const timeout = options.timeout ?? START_TIMEOUT;
  const chosen = await getInstances(session, names);
  return async () => {
    const since = Date.now();
    for (const { name } of chosen) {
      await waitForOne(session, name, options.for, { since, timeout }, context);
    }
  };
}

interface Limit {
  readonly since: number;
  readonly timeout: number;
}

async function waitForOne(
  session: Session,
  name: string,
  state: WaitState,
  limit: Limit,
  context: Context,
): Promise<void> {
  if (state !== "ssh" && state !== "cloud-init") {
    await untilIn(session, name, state, limit, context);
    return;
  }
  // A guest can only answer once it runs.
  const instance = await untilIn(session, name, "running", limit, context);
  const left = Math.max(LOGIN_TIMEOUT_MS, limit.since + limit.timeout - Date.now());
  const until = state === "ssh" ? "login" : "boot";
  await awaitLogin(session, instance, until, left, context).catch(async (error: unknown) => {
    throw await withConsole(session, instance, error);
  });
}

/** Looks again and again until the instance is in that state; resolves to it as it is then. */
async function untilIn(
  session: Session,
  name: string,
  state: "running" | "stopped" | "address",
  limit: Limit,
  context: Context,
): Promise<Instance> {
  const end = limit.since + limit.timeout;
  for (;;) {
    context.signal.throwIfAborted();
    const instance = await getInstance(session, name);
    if (await isIn(session, instance, state)) {
      return instance;
    }
    const left = end - Date.now();
    if (left <= 0) {
      const seconds = Math.round(limit.timeout / 1000);
      const error = failure("TIMEOUT", { seconds, what: `waiting for "${name}": ${MISSING[state]}` });
      throw state === "address" ? await withConsole(session, instance, error) : error;
    }
    context.progress({ phase: `Waiting for ${name}: ${MISSING[state]}`, wait: limit });
    await delay(Math.min(POLL_INTERVAL_MS, left), undefined, { signal: context.signal });
  }
}

async function isIn(session: Session, instance: Instance, state: WaitState): Promise<boolean> {
  return state === "address" ? hasAddress(session, instance) : instance.state === state;
}
