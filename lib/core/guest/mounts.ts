import { constants } from "node:fs";
import { access, realpath, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { resolve } from "node:path";
import type { Context, IdMap, Instance, Lock, Mount, Mounts } from "../../engine/contract.ts";
import { asStrataError, failure } from "../../errors.ts";
import type { RootExec } from "../../guest/mounts.ts";
import { callerIds } from "../../mounts/caller.ts";
import { checkIdMaps } from "../../mounts/id-map.ts";
import { resolveTarget } from "../../mounts/target.ts";
import type { CallOptions, MountOptions, MountPlace } from "../api/strata.ts";
import { getInstance, whileLocked } from "../instances/instances.ts";
import type { Work } from "../session/engines.ts";
import { requireFeature, requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { getSetting } from "../session/settings.ts";
import { execIn } from "./guest.ts";

/** Setting that lets an administrator forbid mounts. */
export const PRIVILEGED = "local.privileged-mounts";

/** How long a guest may take to mount or unmount, ms. */
const MOUNT_TIMEOUT_MS = 60_000;

function mountsOf(session: Session): Promise<Mounts> {
  return requireGroup(session, ["mount.native", "mount.classic"], "mounting folders", ({ mounts }) => mounts);
}

/** What a folder of the host is mounted as, whatever the instance. */
type Shape = Pick<Mount, "source" | "type"> & Pick<MountOptions, "uidMap" | "gidMap">;

/** Checks all that can be checked of a mount without an instance. */
async function prepareMount(session: Session, source: string, options: MountOptions): Promise<Shape> {
  await mountsOf(session);
  if ((await getSetting(session, PRIVILEGED)) !== "true") {
    throw failure("MOUNTS_DISABLED", { key: PRIVILEGED });
  }
  const { type = "native", uidMap, gidMap } = options;
  await requireFeature(session, `mount.${type}`, `a mount of type ${type}`);
  if (uidMap !== undefined || gidMap !== undefined) {
    await requireFeature(session, "mount.idmap", "mapping ids of a mount");
  }
  checkIdMaps("--uid-map", uidMap ?? []);
  checkIdMaps("--gid-map", gidMap ?? []);
  return {
    source: await checkSource(source),
    type,
    ...(uidMap === undefined ? {} : { uidMap }),
    ...(gidMap === undefined ? {} : { gidMap }),
  };
}

/** The folder itself, without links on the way to it. */
async function checkSource(given: string): Promise<string> {
  const path = resolve(given);
  const refuse = (reason: string, cause?: unknown) =>
    failure("INVALID_VALUE", { what: "the source", value: given, reason }, cause);
  const source = await realpath(path).catch((error: unknown) => {
    throw refuse("the folder does not exist", error);
  });
  if (!(await stat(source)).isDirectory()) {
    throw refuse("must be a folder");
  }
  await access(source, constants.R_OK | constants.X_OK).catch((error: unknown) => {
    throw refuse("you must have permission to read it", error);
  });
  return source;
}

/** Ids of the user that images are made with. */
const DEFAULT_USER = 1000;

/**
 * The mount in an instance of that user: by default the caller's files are the user's, where the host lets
 * the engine map them. Rejects with UNSUPPORTED where it refuses maps that were asked for.
 */
async function toMount(
  session: Session,
  shape: Shape,
  place: { readonly target: string; readonly username: string },
  context: Context,
): Promise<Mount> {
  const { target, username } = place;
  const { engine, features } = await session.info();
  const { uid, gid } = callerIds();
  const guest = username === "root" ? 0 : DEFAULT_USER;
  const own = (host: number): IdMap[] =>
    features.has("mount.idmap") ? [{ host, guest, default: true }] : [];
  const mount = { source: shape.source, target, type: shape.type };
  const asked = { uidMap: shape.uidMap ?? [], gidMap: shape.gidMap ?? [] };
  const maps = { uidMap: shape.uidMap ?? own(uid), gidMap: shape.gidMap ?? own(gid) };
  const group = await mountsOf(session);
  const reason = (await group.refusal?.(maps)) ?? null;
  if (reason === null) {
    return { ...mount, ...maps };
  }
  const refused = (await group.refusal?.(asked)) ?? null;
  if (refused !== null) {
    throw failure("UNSUPPORTED", { what: "mapping these ids", engine, reason: refused });
  }
  context.warn?.(`your files in ${target} keep the host's owners: ${reason}`);
  return { ...mount, ...asked };
}

/** The mounts of an instance that is about to be made; `home` is mounted at `Home` where it can be. */
export async function mountsForLaunch(
  session: Session,
  wanted: readonly { readonly source: string; readonly target?: string }[],
  options: { readonly home: boolean },
  context: Context,
): Promise<(username: string, context: Context) => Promise<Mount[]>> {
  const shapes: { shape: Shape; source: string; target?: string }[] = [];
  for (const each of wanted) {
    shapes.push({ ...each, shape: await prepareMount(session, each.source, {}) });
  }
  if (options.home) {
    try {
      const source = homedir();
      shapes.push({ source, target: "Home", shape: await prepareMount(session, source, {}) });
    } catch (error) {
      // Nobody asked for it.
      context.warn?.(`your home was not mounted: ${asStrataError(error).message}`);
    }
  }
  return async (username, context) => {
    const mounts: Mount[] = [];
    for (const { shape, source, target: given } of shapes) {
      const target = resolveTarget(given, source, username);
      if (mounts.some((mount) => mount.target === target)) {
        if (given === "Home") {
          continue;
        }
        throw failure("USAGE", { reason: `two folders cannot be mounted at ${target}` });
      }
      mounts.push(await toMount(session, shape, { target, username }, context));
    }
    return mounts;
  };
}

/** Mounts a folder of the host in instances; all is checked before anything is changed. */
export async function mount(
  session: Session,
  source: string,
  places: readonly MountPlace[],
  options: MountOptions = {},
  call?: CallOptions,
): Promise<Work> {
  const context = contextOf(call);
  const group = await mountsOf(session);
  const shape = await prepareMount(session, source, options);
  const chosen: { instance: Instance; mount: Mount }[] = [];
  for (const place of places) {
    const instance = await getInstance(session, place.instance);
    const { name, record } = instance;
    const target = resolveTarget(place.target, source, record.username);
    if (chosen.some((each) => each.instance.name === name && each.mount.target === target)) {
      continue;
    }
    requireFree(instance, target);
    const { username } = record;
    chosen.push({ instance, mount: await toMount(session, shape, { target, username }, context) });
  }
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

/** Takes mounts away, all of an instance where no target is named; all is checked before that. */
export async function umount(
  session: Session,
  places: readonly MountPlace[],
  call?: CallOptions,
): Promise<Work> {
  const context = contextOf(call);
  const group = await mountsOf(session);
  const chosen: { instance: Instance; targets: string[] | undefined }[] = [];
  for (const place of places) {
    const instance = await getInstance(session, place.instance);
    const { name, record, mounts } = instance;
    if (place.target === undefined) {
      chosen.push({ instance, targets: undefined });
      continue;
    }
    const target = resolveTarget(place.target, "", record.username);
    if (!mounts.some((each) => each.target === target)) {
      throw failure("MOUNT_NOT_FOUND", { name, target });
    }
    const named = chosen.filter((each) => each.instance.name === name);
    if (named.some(({ targets }) => targets === undefined || targets.includes(target))) {
      continue;
    }
    chosen.push({ instance, targets: [target] });
  }
  return async () => {
    for (const { instance, targets } of chosen) {
      await whileLocked(session, instance, context, async (lock) => {
        const fresh = lock.instance;
        const present = targets ?? fresh.mounts.map(({ target }) => target).sort();
        for (const target of present.reverse()) {
          // Taken away by somebody while we waited.
          if (!fresh.mounts.some((each) => each.target === target)) {
            throw failure("MOUNT_NOT_FOUND", { name: fresh.name, target });
          }
          if (fresh.state === "running") {
            await unmount(session, group, lock, target, context);
          }
          const when = await group.detach(lock, target, context);
          if (fresh.state === "running" && when === "restart") {
            context.warn?.(`the device of ${target} will be removed at the next stop of "${fresh.name}"`);
          }
        }
      });
    }
  };
}

/** Unmounts in the guest, all where no target is named. */
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
 * Runs a piece while no mount is in use in a running guest: saving its memory. They stay recorded, and
 * whoever waits for the guest to be ready again has them back. Where one is in use, or the piece fails,
 * those that went are put back before the error goes on.
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

/** Puts mounts back after a failure, which is the error that counts. */
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
