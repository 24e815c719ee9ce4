import { setTimeout as delay } from "node:timers/promises";
import type { Context, Lock } from "../../../lib/engine/contract.ts";
import { failure, isStrataError } from "../../../lib/errors.ts";
import { change } from "../domain/changes.ts";
import { findManaged, getManaged, type Managed, nameOf } from "../domain/managed.ts";
import { KEYS } from "../domain/records.ts";
import { toInstance } from "../domain/view.ts";
import type { LxdEngine } from "../engine.ts";
import { isSaid, isStatus } from "../errors.ts";
import { awaitOperations, finish, runningOperations } from "../journal/recovery.ts";
import { INSTANCE_BUSY } from "../messages.ts";
import { LxdConnectionError } from "../rest/errors.ts";
import type { Config } from "../rest/shapes.ts";
import { isGone, isHere, type Lease, newLease, readLease } from "./lease.ts";

/** How often a lock that another process has is read, ms. */
const POLL_INTERVAL_MS = 100;
/** How often an owner renews its lease, or tries again to release one, ms. */
const RENEW_INTERVAL_MS = 10_000;
/** An owner on another system that has not renewed its lease for so long is dead, ms. */
const LEASE_TIMEOUT_MS = 45_000;
/** How long the config of an instance with an interrupted restore must have been unchanged, ms. */
const RESTORE_QUIET_MS = 2000;

/**
 * Leases of this process that were released and may still be in a config, because LXD could not be reached
 * when they were to be removed. To other processes they look alive, so only this one knows.
 */
const abandoned = new Set<string>();

/**
 * A lock is a lease in the instance's config, taken by a compare-and-swap on the config's ETag, which LXD
 * does under its own lock. A lock on a file would not do, because users of one server may be on several
 * hosts.
 */
export async function lockInstance(
  engine: LxdEngine,
  { name, id: wanted }: { readonly name: string; readonly id?: string },
  { wait }: { readonly wait: number },
  { signal }: Pick<Context, "signal">,
): Promise<Lock> {
  if (signal.aborted) {
    throw failure("CANCELLED", {}, signal.reason);
  }
  if (wanted !== undefined && !engine.names.has(wanted)) {
    engine.names.set(wanted, name);
  }
  const id = wanted ?? (await findManaged(engine, name))?.id;
  if (id === undefined) {
    throw failure("INSTANCE_NOT_FOUND", { name });
  }
  const lease = await newLease();
  const inherited = await claim(engine, id, lease, wait, signal).catch(async (error: unknown) => {
    // The connection may have broken after LXD stored the lease.
    if (error instanceof LxdConnectionError && error.lost) {
      await releaseLease(engine, id, lease);
    }
    throw error;
  });
  const renewal = setInterval(() => void renew(engine, id, lease), RENEW_INTERVAL_MS);
  renewal.unref();
  let lock: Lock | undefined;
  let released: Promise<void> | undefined;
  // Once only: the lease that the engine knows may be another lock's by the second time.
  const release = () => {
    released ??= (async () => {
      clearInterval(renewal);
      engine.leases.delete(id);
      if (lock !== undefined) {
        engine.locks.delete(lock);
      }
      await releaseLease(engine, id, lease);
    })();
    return released;
  };
  engine.leases.set(id, JSON.stringify(lease));
  try {
    // The previous owner may have died while LXD continued what it had asked for.
    let managed = await getManaged(engine, id);
    const unfinished = managed.operation !== undefined || managed.aside !== undefined;
    if (inherited || unfinished) {
      await awaitOperations(engine, managed);
    }
    if (unfinished) {
      await finish(engine, id);
    }
    if (inherited || unfinished) {
      managed = await getManaged(engine, id);
    }
    lock = { instance: toInstance(managed), [Symbol.asyncDispose]: release };
    engine.locks.add(lock);
    return lock;
  } catch (error) {
    await release();
    throw error;
  }
}

/** Resolves to true if a holder that died left the lock. */
async function claim(
  engine: LxdEngine,
  id: string,
  lease: Lease,
  wait: number,
  signal: AbortSignal,
): Promise<boolean> {
  const end = Date.now() + wait;
  const name = nameOf(engine, id);
  let sign: string | undefined;
  let since = Date.now();
  for (;;) {
    const managed = await getManaged(engine, id);
    const { text, stale } = lockOf(managed);
    const seen = stale ? `${text} ${managed.etag}` : text;
    if (seen !== sign) {
      since = Date.now();
    }
    sign = seen;
    const silence = Date.now() - since;
    const free = text === undefined || (await isDead(engine, managed, text, silence));
    // Another process may be about to put the right lock back.
    if (free && (!stale || silence >= RESTORE_QUIET_MS)) {
      if (await swap(engine, managed, { [KEYS.lock]: JSON.stringify(lease) })) {
        return text !== undefined;
      }
      continue;
    }
    const left = end - Date.now();
    if (left <= 0) {
      throw failure("BUSY", { name });
    }
    await delay(Math.min(POLL_INTERVAL_MS, left), undefined, { signal }).catch((error: unknown) => {
      throw failure("CANCELLED", {}, error);
    });
  }
}

/**
 * The lock that counts. During a restore, the config is for a moment that of the snapshot, with the lock of
 * the process that took it: then the one in `strata.restoring` counts, and the other is stale.
 */
function lockOf({ instance, aside, operation, snapshots }: Managed): { text?: string; stale: boolean } {
  const present = instance.config[KEYS.lock];
  if (aside !== undefined && operation?.kind === "restore") {
    const restored = snapshots.find(({ config }) => (config[KEYS.snapshot] ?? "").includes(operation.id));
    const earlier = aside.config[KEYS.lock];
    if (present === restored?.config[KEYS.lock] && earlier !== undefined) {
      return { text: earlier, stale: true };
    }
  }
  return present === undefined ? { stale: false } : { text: present, stale: false };
}

async function isDead(engine: LxdEngine, managed: Managed, text: string, silence: number): Promise<boolean> {
  const lease = readLease(text);
  if (lease !== undefined && abandoned.has(lease.holder)) {
    return true;
  }
  if (lease !== undefined && (await isHere(lease))) {
    return false;
  }
  if (lease !== undefined && (await isGone(lease))) {
    return true;
  }
  return silence >= LEASE_TIMEOUT_MS && (await runningOperations(engine, managed)).length === 0;
}

/** Changes the config, unless it has changed since it was read; false then. */
async function swap(engine: LxdEngine, { name, etag }: Managed, config: Config): Promise<boolean> {
  try {
    await change(engine, "PATCH", name, { config }, etag);
    return true;
  } catch (error) {
    if (isStatus(error, 412) || isSaid(error, INSTANCE_BUSY)) {
      return false;
    }
    throw error;
  }
}

async function renew(engine: LxdEngine, id: string, lease: Lease): Promise<void> {
  try {
    const managed = await getManaged(engine, id);
    const present = readLease(managed.instance.config[KEYS.lock] ?? "");
    if (present?.holder !== lease.holder) {
      return;
    }
    await swap(engine, managed, { [KEYS.lock]: JSON.stringify({ ...lease, beat: present.beat + 1 }) });
  } catch (error) {
    engine.log.debug("the lock could not be renewed", { id, error: String(error) });
  }
}

/**
 * Removes a lease from the config; if LXD cannot be reached, as soon as it can. From now on the lease does
 * not block this process.
 */
export async function releaseLease(engine: LxdEngine, id: string, lease: Lease): Promise<void> {
  abandoned.add(lease.holder);
  try {
    await removeLease(engine, id, lease);
    abandoned.delete(lease.holder);
  } catch (error) {
    engine.log.debug("the lock could not be given up", { id, error: String(error) });
    setTimeout(() => void releaseLease(engine, id, lease), RENEW_INTERVAL_MS).unref();
  }
}

/** An instance that no longer exists has no lock either. */
async function removeLease(engine: LxdEngine, id: string, lease: Lease): Promise<void> {
  try {
    for (;;) {
      const managed = await getManaged(engine, id);
      if (readLease(lockOf(managed).text ?? "")?.holder !== lease.holder) {
        return;
      }
      if (await swap(engine, managed, { [KEYS.lock]: "" })) {
        return;
      }
      await delay(POLL_INTERVAL_MS);
    }
  } catch (error) {
    if (!isStrataError(error) || error.code !== "INSTANCE_NOT_FOUND") {
      throw error;
    }
  }
}
