import { resolve } from "node:path";
import type { Context, Instance } from "../../backend/contract.ts";
import { asStrataError, failure } from "../../errors.ts";
import type { CallOptions, Ref } from "../api/strata.ts";
import type { Work } from "../session/engines.ts";
import { unsupported } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { checkName } from "../snapshots/names.ts";
import { deleteSnapshot, requireSnapshot } from "../snapshots/snapshots.ts";
import { forgetAliases } from "./aliases.ts";
import { eachHeld, getInstance, getInstances, unlessGone, whileHeld } from "./instances.ts";

/** How long a guest that is to be deleted may take to shut down before its power is cut, ms. */
const GRACE = 30_000;

/** Deletes instances and snapshots; the whole request is checked before anything is changed. */
export async function remove(
  session: Session,
  refs: readonly Ref[],
  options: { readonly purge?: boolean } = {},
  call?: CallOptions,
): Promise<Work> {
  const context = contextOf(call);
  const backend = await session.backend();
  const whole = new Map<string, Instance>();
  const parts: { instance: Instance; snapshot: string }[] = [];
  for (const { instance: name, snapshot } of refs) {
    if (snapshot === undefined) {
      const found = await unlessGone(call, () =>
        getInstance(session, name, options.purge === true ? { deleted: "allowed" } : {}),
      );
      if (found !== undefined) whole.set(name, found);
      continue;
    }
    checkName("snapshot", snapshot);
    const instance = await getInstance(session, name);
    requireSnapshot(await backend.snapshots.outline(instance.id), name, snapshot);
    if (!parts.some((part) => part.instance.name === name && part.snapshot === snapshot))
      parts.push({ instance, snapshot });
  }
  return async () => {
    for (const { instance, snapshot } of parts) {
      // Snapshots go with an instance that is purged in the same request.
      if (options.purge === true && whole.has(instance.name)) continue;
      await unlessGone(call, () =>
        whileHeld(session, instance, context, (fresh, hold) =>
          deleteSnapshot(session, fresh, snapshot, hold, context),
        ),
      );
    }
    for (const instance of whole.values())
      await unlessGone(call, () =>
        whileHeld(
          session,
          instance,
          context,
          (fresh) => removeOne(session, fresh, options.purge === true, context),
          { finish: false },
        ),
      ).catch((error: unknown) => {
        // Taking hold takes away what a removal or a launch that died has left, which is what was asked for.
        const coming = instance.removing === true || instance.state === "starting";
        if (options.purge !== true || !coming || asStrataError(error).code !== "INSTANCE_NOT_FOUND")
          throw error;
      });
    if (options.purge === true) await forget(session, [...whole.keys()], context);
  };
}

/** The aliases go too. What is gone is gone: a folder that cannot be written is no reason to say otherwise. */
async function forget(session: Session, names: readonly string[], { warn }: Context): Promise<void> {
  await forgetAliases(session, names).catch((error: unknown) => {
    const { code, message } = asStrataError(error);
    if (code !== "FOLDER_UNUSABLE" && code !== "NO_SPACE") throw error;
    warn?.(`aliases of ${names.join(", ")} may be left: ${message}`);
  });
}

async function removeOne(
  session: Session,
  instance: Instance,
  purge: boolean,
  context: Context,
): Promise<void> {
  const { instances } = await session.backend();
  context.progress({ phase: `Deleting ${instance.name}` });
  if (purge) return instances.remove(instance.id, context);
  if (instance.state !== "stopped" && instance.state !== "suspended") {
    await instances.stop(instance.id, { grace: GRACE }, context).catch((error: unknown) => {
      if (asStrataError(error).code !== "TIMEOUT") throw error;
      return instances.stop(instance.id, "force", context);
    });
  }
  await instances.annotate(instance.id, { deleted: true });
}

/** Makes deleted instances Stopped again. */
export async function recover(session: Session, names: readonly string[], call?: CallOptions): Promise<Work> {
  const { instances } = await session.backend();
  const chosen = await getInstances(session, names, { deleted: "allowed" }, call);
  for (const { record, name } of chosen)
    if (!record.deleted && call?.gone === undefined) throw failure("INSTANCE_NOT_DELETED", { name });
  return () =>
    eachHeld(session, chosen, call, async ({ id, name, record }) => {
      // Recovered by somebody while we waited.
      if (!record.deleted && call?.gone === undefined) throw failure("INSTANCE_NOT_DELETED", { name });
      if (record.deleted) await instances.annotate(id, { deleted: false });
    });
}

/** Brings an instance back from the copies of its records in its folder. */
export async function recoverFrom(
  session: Session,
  folder: string,
  call?: CallOptions,
): Promise<{ readonly name: string }> {
  const { maintenance } = await session.backend();
  if (maintenance?.recover === undefined)
    throw await unsupported(session, "recovering an instance from its folder");
  const context = contextOf(call);
  context.progress({ phase: "Recovering" });
  return { name: await maintenance.recover(resolve(folder), context) };
}

/** Removes every deleted instance for good; resolves to their names. */
export async function purge(session: Session, call?: CallOptions): Promise<string[]> {
  const { instances } = await session.backend();
  const deleted = (await instances.list()).filter(({ record }) => record.deleted);
  const names: string[] = [];
  await eachHeld(session, deleted, { ...call, gone: "allowed" }, async ({ id, name, record }, context) => {
    // Recovered by somebody while we waited: theirs.
    if (!record.deleted) return;
    await instances.remove(id, context);
    names.push(name);
  });
  await forget(session, names, contextOf(call));
  return names.sort();
}
