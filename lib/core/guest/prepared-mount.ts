import { constants } from "node:fs";
import { access, realpath, stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { Context, IdMap, Mount, Mounts } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import { callerIds } from "../../mounts/caller.ts";
import { checkIdMaps } from "../../mounts/id-map.ts";
import { readSwitch } from "../../settings/switch.ts";
import type { MountOptions } from "../api/strata.ts";
import { requireFeature, requireGroup } from "../session/features.ts";
import type { Session } from "../session/session.ts";
import { getSetting, PRIVILEGED_MOUNTS } from "../session/settings.ts";

export function mountsOf(session: Session): Promise<Mounts> {
  return requireGroup(session, ["mount.native", "mount.classic"], "mounting folders", ({ mounts }) => mounts);
}

/** The parts of a mount that do not depend on the instance. */
export type Shape = Pick<Mount, "source" | "type"> & Pick<MountOptions, "uidMap" | "gidMap">;

/** Checks everything about a mount that does not depend on the instance. */
export async function prepareMount(
  session: Session,
  source: string,
  options: MountOptions,
  context: Context,
): Promise<Shape> {
  await mountsOf(session);
  // What is neither on nor off, written by hand, allows nothing.
  if (readSwitch(await getSetting(session, PRIVILEGED_MOUNTS)) !== true) {
    throw failure("MOUNTS_DISABLED", { key: PRIVILEGED_MOUNTS });
  }
  const { uidMap, gidMap } = options;
  const type = await typeOf(session, options, context);
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

/** The requested type, or native if the engine has no classic mounts: both show the same files. */
async function typeOf(
  session: Session,
  { type = "native" }: MountOptions,
  context: Context,
): Promise<Mount["type"]> {
  const { features } = await session.info();
  if (type === "native" || features.has("mount.classic") || !features.has("mount.native")) {
    return type;
  }
  context.warn?.("the mount is native: strata has no classic mounts, and native ones do all that they did");
  return "native";
}

/** The folder's real path. */
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

/** The id of the user that images are built with. */
const DEFAULT_USER = 1000;

/**
 * The mount in an instance of that user: by default the caller's files belong to that user, if the host
 * allows the engine to map them. Rejects with UNSUPPORTED if it refuses maps that were requested.
 */
export async function toMount(
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
