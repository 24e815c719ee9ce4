import type { Context, Instance } from "../backend/contract.ts";
import type { CallOptions } from "./api.ts";
import { awaitReady } from "./guest.ts";
import { getInstances, whileHeld } from "./instances.ts";
import { contextOf, type Session } from "./session.ts";

/** How long a guest may take to answer after its start, ms: emulated ones are slow. */
export const START_TIMEOUT = 300_000;
/** How long a guest may take to shut down, ms. */
export const STOP_TIMEOUT = 120_000;

export async function start(
  session: Session,
  names: readonly string[],
  options: { readonly timeout?: number } = {},
  call?: CallOptions,
): Promise<void> {
  const context = contextOf(call);
  for (const instance of await getInstances(session, names))
    await startOne(session, instance, options.timeout ?? START_TIMEOUT, context);
}

/** Starts an instance and waits for its guest. Waiting needs no hold: others may look, or stop it. */
export async function startOne(
  session: Session,
  instance: Instance,
  timeout: number,
  context: Context,
): Promise<void> {
  const { instances } = await session.backend();
  await whileHeld(session, instance, context, () => instances.start(instance.id, context));
  await awaitReady(session, instance, timeout, context, false);
}

export async function stop(
  session: Session,
  names: readonly string[],
  options: { readonly force?: boolean; readonly timeout?: number } = {},
  call?: CallOptions,
): Promise<void> {
  const context = contextOf(call);
  const { instances } = await session.backend();
  const how = options.force === true ? "force" : { grace: options.timeout ?? STOP_TIMEOUT };
  for (const instance of await getInstances(session, names))
    await whileHeld(session, instance, context, () => instances.stop(instance.id, how, context));
}

export async function restart(
  session: Session,
  names: readonly string[],
  options: { readonly timeout?: number } = {},
  call?: CallOptions,
): Promise<void> {
  const context = contextOf(call);
  const { instances } = await session.backend();
  for (const instance of await getInstances(session, names)) {
    await whileHeld(session, instance, context, async ({ id }) => {
      await instances.stop(id, { grace: STOP_TIMEOUT }, context);
      await instances.start(id, context);
    });
    await awaitReady(session, instance, options.timeout ?? START_TIMEOUT, context, false);
  }
}
