import type { Context, Instance, Lock, Mount, Mounts } from "../../engine/contract.ts";
import { checkEach } from "../../errors/check-each.ts";
import { asStrataError, failure } from "../../errors.ts";
import type { RootExec } from "../../guest/mounts.ts";
import { resolveTarget } from "../../mounts/target.ts";
import type { CallOptions, MountOptions, MountPlace } from "../api/strata.ts";
import { getInstance, whileLocked } from "../instances/instances.ts";
import type { Work } from "../session/engines.ts";
import { contextOf, type Session } from "../session/session.ts";
import { execIn } from "./guest.ts";
import { mountsOf, prepareMount, toMount } from "./prepared-mount.ts";

/** How long a guest may take to mount or unmount, ms. */
const MOUNT_TIMEOUT_MS = 60_000;

/** Mounts a folder of the host in instances; everything is checked before anything is changed. */
export async function mount(
  session: Session,
  source: string,
  places: readonly MountPlace[],
  options: MountOptions = {},
  call?: CallOptions,
): Promise<Work> {
  const context = contextOf(call);
  const group = await mountsOf(session);
  const shape = await prepareMount(session, source, options, context);
  const chosen: { instance: Instance; mount: Mount }[] = [];
  await checkEach(places, async (place) => {
    const instance = await getInstance(session, place.instance);
    const { name, record } = instance;
    const target = resolveTarget(place.target, source, record.username);
    if (chosen.some((each) => each.instance.name === name && each.mount.target === target)) {
      return;
    }
    requireFree(instance, target);
    const { username } = record;
    chosen.push({ instance, mount: await toMount(session, shape, { target, username }, context) });
  });
  return async () => {
    for (const each of chosen) {
      await whileLocked(session, each.instance, context, (lock) =>
        attach(session, group, lock, each.mount, context),
      );
    }
  };
}

function requireFree({ name, mounts }: Instance, target: string): void {
  if (mounts.some((each) => each.target === target)) {
    throw failure("MOUNT_EXISTS", { name, target });
  }
}

async function attach(
  session: Session,
  group: Mounts,
  lock: Lock,
  mount: Mount,
  context: Context,
): Promise<void> {
  const { id, name, state } = lock.instance;
  requireFree(lock.instance, mount.target);
  const when = await group.attach(lock, mount, context);
  if (state !== "running") {
    return;
  }
  if (when === "restart") {
    context.warn?.(`${mount.target} will appear after the next start of "${name}"`);
    return;
  }
  try {
    const { mountInside } = await import("../../guest/mounts.ts");
    for (const each of (await group.inside(id)).filter(({ target }) => target === mount.target)) {
      await mountInside(name, rootExec(session, lock, context), each);
    }
  } catch (error) {
    await group.detach(lock, mount.target, contextOf());
    throw error;
  }
}

/** Runs commands as root in the guest of a locked instance. */
function rootExec(session: Session, lock: Lock, { signal }: Context): RootExec {
  return (argv) =>
    execIn(session, lock.instance, argv, { user: "root", lock, timeout: MOUNT_TIMEOUT_MS, signal });
}

/** Removes mounts, all of an instance if no target is named; everything is checked before. */
export async function umount(
  session: Session,
  places: readonly MountPlace[],
  call?: CallOptions,
): Promise<Work> {
  const context = contextOf(call);
  const group = await mountsOf(session);
  const chosen: { instance: Instance; target: string | undefined }[] = [];
  await checkEach(places, async (place) => {
    const instance = await getInstance(session, place.instance);
    const target =
      place.target === undefined ? undefined : resolveTarget(place.target, "", instance.record.username);
    if (target !== undefined) {
      requireMounted(instance, target);
    }
    const named = chosen.filter((each) => each.instance.name === instance.name);
    if (target === undefined || !named.some((each) => each.target === undefined || each.target === target)) {
      chosen.push({ instance, target });
    }
  });
  return async () => {
    for (const { instance, target } of chosen) {
      await whileLocked(session, instance, context, async (lock) => {
        const all = lock.instance.mounts.map((each) => each.target).sort();
        for (const each of target === undefined ? all.reverse() : [target]) {
          await detach(session, group, lock, each, context);
        }
      });
    }
  };
}

function requireMounted({ name, mounts }: Instance, target: string): void {
  if (!mounts.some((each) => each.target === target)) {
    throw failure("MOUNT_NOT_FOUND", { name, target });
  }
}

async function detach(
  session: Session,
  group: Mounts,
  lock: Lock,
  target: string,
  context: Context,
): Promise<void> {
  const { instance } = lock;
  // It may have been unmounted while we waited for the lock.
  requireMounted(instance, target);
  if (instance.state === "running") {
    await unmount(session, group, lock, target, context);
  }
  const when = await group.detach(lock, target, context);
  if (instance.state === "running" && when === "restart") {
    context.warn?.(`the device of ${target} will be removed at the next stop of "${instance.name}"`);
  }
}

/** Unmounts in the guest, everything if no target is named. */
async function unmount(
  session: Session,
  group: Mounts,
  lock: Lock,
  target: string | undefined,
  context: Context,
): Promise<void> {
  const { outermostFirst, unmountInside } = await import("../../guest/mounts.ts");
  const all = outermostFirst(await group.inside(lock.instance.id)).reverse();
  for (const each of all.filter((inside) => target === undefined || inside.target === target)) {
    await unmountInside(lock.instance.name, rootExec(session, lock, context), each);
  }
}

/**
 * Calls a function, such as one that saves memory, while nothing is mounted in a running guest. The mounts
 * stay recorded and are mounted again when the guest is ready the next time. If one is in use, or the
 * function fails, those that were unmounted are mounted again before the error is passed on.
 */
export async function withoutMounts<T>(
  session: Session,
  lock: Lock,
  context: Context,
  work: () => Promise<T>,
): Promise<T> {
  const { mounts: group } = await session.engine();
  const { mounts, state } = lock.instance;
  if (group === undefined || mounts.length === 0 || state !== "running") {
    return work();
  }
  try {
    await unmount(session, group, lock, undefined, context);
    return await work();
  } catch (error) {
    await remount(session, group, lock, context);
    throw error;
  }
}

/** The same for a guest that goes on running: what was mounted is mounted again in any case. */
export async function withMountsAside<T>(
  session: Session,
  lock: Lock,
  context: Context,
  work: () => Promise<T>,
): Promise<T> {
  const done = await withoutMounts(session, lock, context, work);
  const { mounts: group } = await session.engine();
  if (group !== undefined && lock.instance.mounts.length > 0) {
    await remount(session, group, lock, context);
  }
  return done;
}

/** Mounts again; that it fails is a warning, as something else has succeeded or failed before. */
async function remount(session: Session, group: Mounts, lock: Lock, context: Context): Promise<void> {
  const { mountInside, outermostFirst } = await import("../../guest/mounts.ts");
  try {
    for (const each of outermostFirst(await group.inside(lock.instance.id))) {
      await mountInside(lock.instance.name, rootExec(session, lock, contextOf()), each);
    }
  } catch (error) {
    context.warn?.(asStrataError(error).message);
  }
}
