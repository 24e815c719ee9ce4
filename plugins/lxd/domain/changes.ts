import { setTimeout as delay } from "node:timers/promises";
import type { LxdEngine } from "../engine.ts";
import { isSaid, isStatus } from "../errors.ts";
import { AGENT_NOT_TOLD, INSTANCE_BUSY } from "../messages.ts";
import { type Config, instanceShape, type LxdInstance } from "../rest/shapes.ts";
import { instancePath, type Managed } from "./managed.ts";
import { KEYS } from "./records.ts";

/** Between two attempts to change an instance that LXD is busy with, ms. */
const RETRY_INTERVAL_MS = 50;
/** How long an operation of LXD may keep a change of the config waiting, ms. */
const CHANGE_TIMEOUT_MS = 30_000;

/**
 * Tries again while LXD is busy with another change of the same instance, such as another's attempt at its
 * lock, and where the instance has changed since the callback read it.
 */
export async function whenIdle<T>(work: () => Promise<T>): Promise<T> {
  const end = Date.now() + CHANGE_TIMEOUT_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if ((!isSaid(error, INSTANCE_BUSY) && !isStatus(error, 412)) || Date.now() > end) {
        throw error;
      }
      await delay(RETRY_INTERVAL_MS);
    }
  }
}

/** Changes an instance's config. It does not matter whether the agent in a guest could be notified. */
export async function change(
  { client }: LxdEngine,
  method: "PATCH" | "PUT",
  name: string,
  body: object,
  etag?: string,
): Promise<void> {
  try {
    await client.run(method, instancePath(name), body, etag === undefined ? {} : { etag });
  } catch (error) {
    if (!isSaid(error, AGENT_NOT_TOLD)) {
      throw error;
    }
  }
}

/** Merges keys into an instance's config, in one stroke; an empty value removes a key. */
export async function writeConfig(engine: LxdEngine, name: string, config: Config): Promise<void> {
  await whenIdle(() => change(engine, "PATCH", name, { config }));
}

/** Replaces the config and devices of a locked instance. */
export async function replaceConfig(
  engine: LxdEngine,
  managed: Managed,
  config: Config,
  devices: LxdInstance["devices"],
): Promise<void> {
  await whenIdle(async () => {
    const fresh = await engine.client.get(instancePath(managed.name), instanceShape);
    const { architecture, description, ephemeral, profiles } = fresh.value;
    const locked = { ...config, [KEYS.lock]: engine.leases.get(managed.id) ?? "" };
    const present = Object.fromEntries(Object.entries(locked).filter(([, value]) => value !== ""));
    const body = { architecture, description, ephemeral, profiles, config: present, devices };
    await change(engine, "PUT", managed.name, body, fresh.etag);
  });
}
