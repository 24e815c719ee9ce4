import { resolve } from "node:path";
import type { Context, Instance, Lock, Snapshots } from "../../engine/contract.ts";
import { checkEach } from "../../errors/check-each.ts";
import { asStrataError, failure } from "../../errors.ts";
import type { CallOptions, EachOptions, PurgeOptions, Ref } from "../api/strata.ts";
import { refreshInclude } from "../guest/ssh-include.ts";
import type { Work } from "../session/engines.ts";
import { unsupported } from "../session/features.ts";
import { contextOf, contextOfItem, type Session } from "../session/session.ts";
import { snapshotNotFound } from "../snapshots/missing.ts";
import { checkName } from "../snapshots/names.ts";
import { outlineOf } from "../snapshots/outline.ts";
import { deleteSnapshot, requireSnapshot } from "../snapshots/snapshots.ts";
import { forgetAliases } from "./aliases.ts";
import { eachLocked, getInstance, getInstances, isMoving, unlessGone, whileLocked } from "./instances.ts";

/** How long a guest may take to shut down before a deletion cuts its power, ms. */
const SHUTDOWN_TIMEOUT_MS = 30_000;

/** Deletes instances and snapshots; the whole request is checked before anything is changed. */
export async function remove(
  session: Session,
  refs: readonly Ref[],
  options: { readonly purge?: boolean; readonly alone?: boolean } = {},
  call?: EachOptions,
): Promise<Work> {
  const context = contextOf(call);
  const engine = await session.engine();
  const whole = new Map<string, Instance>();
  const parts: { instance: Instance | { readonly name: string }; snapshot: string }[] = [];
  await checkEach(refs, async ({ instance: name, snapshot }) => {
    if (snapshot === undefined) {
      const found = await unlessGone(call, () =>
        getInstance(session, name, options.purge === true ? { deleted: "allowed" } : {}),
      );
      if (found !== undefined) {
        whole.set(name, found);
      }
      return;
    }
    checkName("snapshot", snapshot);
    if (options.alone === true) {
      // Each is checked under its lock before it is changed.
      parts.push({ instance: { name }, snapshot });
      return;
    }
    const instance = await getInstance(session, name);
    await requireThere(engine.snapshots, instance, snapshot);
    if (!parts.some((part) => part.instance.name === name && part.snapshot === snapshot)) {
      parts.push({ instance, snapshot });
    }
  });
  return async () => {
    for (const [at, { instance, snapshot }] of parts.entries()) {
      const own = contextOfItem(context, at + 1, parts.length);
      // Snapshots are removed with an instance that is purged in the same request.
      if (options.purge === true && whole.has(instance.name)) {
        continue;
      }
      await unlessGone(call, () =>
        whileLocked(session, instance, own, (lock) => deleteSnapshot(session, lock, snapshot, own)),
      );
    }
    for (const [at, instance] of [...whole.values()].entries()) {
      const own = contextOfItem(context, at + 1, whole.size);
      await unlessGone(call, () =>
        whileLocked(session, instance, own, (lock) => removeOne(session, lock, options.purge === true, own), {
          finish: false,
        }),
      ).catch((error: unknown) => {
        // Locking it removes the remains of a removal or a launch that died, which is what was requested.
        const coming = instance.removing === true || instance.state === "starting";
        if (options.purge !== true || !coming || asStrataError(error).code !== "INSTANCE_NOT_FOUND") {
          throw error;
        }
      });
    }
    if (options.purge === true) {
      await forget(session, [...whole.keys()], context);
    }
    if (whole.size > 0) {
      await refreshInclude(session, context);
    }
  };
}

/** Rejects unless the snapshot exists, with the cheapest call. */
async function requireThere(group: Snapshots, { id, name }: Instance, snapshot: string): Promise<void> {
  if (group.removal === undefined) {
    return requireSnapshot(await outlineOf(group, id), name, snapshot);
  }
  if ((await group.removal(id, snapshot)) === null) {
    throw await snapshotNotFound(name, snapshot, async () => (await outlineOf(group, id)).names);
  }
}

/** Its aliases are removed too. If their folder cannot be written, the removal still counts as done. */
async function forget(session: Session, names: readonly string[], { warn }: Context): Promise<void> {
  await forgetAliases(session, names).catch((error: unknown) => {
    const { code, message } = asStrataError(error);
    if (code !== "FOLDER_UNUSABLE" && code !== "NO_SPACE") {
      throw error;
    }
    warn?.(`aliases of ${names.join(", ")} may remain: ${message}`);
  });
}

async function removeOne(session: Session, lock: Lock, purge: boolean, context: Context): Promise<void> {
  const { instances } = await session.engine();
  const { name, state } = lock.instance;
  context.progress({ phase: `Deleting ${name}` });
  if (purge) {
    return instances.remove(lock, context);
  }
  if (state !== "stopped" && state !== "suspended") {
    await instances.stop(lock, { grace: SHUTDOWN_TIMEOUT_MS }, context).catch((error: unknown) => {
      if (asStrataError(error).code !== "TIMEOUT") {
        throw error;
      }
      return instances.stop(lock, "force", context);
    });
  }
  // A deleted instance must not come back with the host.
  await (await session.engine()).autostart?.set(lock, false);
  await instances.annotate(lock, { deleted: true });
}

function isOut(instance: Pick<Instance, "record">): boolean {
  return instance.record.deleted || isMoving(instance);
}

/** Makes deleted instances Stopped again, and those that a move has left. */
export async function recover(session: Session, names: readonly string[], call?: EachOptions): Promise<Work> {
  const { instances } = await session.engine();
  const chosen = await getInstances(session, names, { deleted: "allowed" }, call);
  await checkEach(chosen, async ({ record, name }) => {
    if (!isOut({ record }) && call?.skipMissing !== true) {
      throw failure("INSTANCE_NOT_DELETED", { name });
    }
  });
  return () =>
    eachLocked(session, chosen, call, async (lock) => {
      const { name, record } = lock.instance;
      // Another process recovered it while we waited.
      if (!isOut({ record }) && call?.skipMissing !== true) {
        throw failure("INSTANCE_NOT_DELETED", { name });
      }
      if (isOut({ record })) {
        const { transit } = record;
        await instances.annotate(lock, {
          deleted: false,
          ...(transit === undefined ? {} : { transit: { ...transit, phase: "arrived" } }),
        });
      }
    });
}

/** Defines an instance again from the copies of its records in its folder. */
export async function recoverFrom(
  session: Session,
  folder: string,
  call?: CallOptions,
): Promise<{ readonly name: string }> {
  const { maintenance } = await session.engine();
  if (maintenance?.recover === undefined) {
    throw await unsupported(session, "recovering an instance from its folder");
  }
  const context = contextOf(call);
  context.progress({ phase: "Recovering" });
  return { name: await maintenance.recover(resolve(folder), context) };
}

/** Permanently removes every deleted instance; resolves to their names. */
export async function purge(session: Session, call?: PurgeOptions): Promise<string[]> {
  const { instances } = await session.engine();
  const deleted = (await instances.list()).filter(
    ({ name, record }) => record.deleted && (call?.only === undefined || call.only.includes(name)),
  );
  const names: string[] = [];
  const context = contextOf(call);
  const removeLocked = async (lock: Lock) => {
    // Another process recovered it while we waited, so it is kept.
    if (!lock.instance.record.deleted) {
      return;
    }
    await instances.remove(lock, context);
    names.push(lock.instance.name);
  };
  for (const instance of deleted) {
    await unlessGone({ skipMissing: true }, () =>
      whileLocked(session, instance, context, removeLocked, { finish: false }),
    );
  }
  await forget(session, names, contextOf(call));
  return names.sort();
}
