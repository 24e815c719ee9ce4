import type { Context, Mount, Mounts } from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { failure } from "../../../lib/errors.ts";
import { replaceConfig } from "../domain/changes.ts";
import type { Managed } from "../domain/managed.ts";
import { mountKeys, readMounts } from "../domain/records.ts";
import type { LxdEngine } from "../engine.ts";
import { getReady } from "../journal/recovery.ts";
import { isMachine, noMounts } from "../lifecycle/machines.ts";
import { idMapKeys, mapRefusal, requireMappable } from "./id-maps.ts";
import { checkMount, memberHere, mountDevices, withoutMounts } from "./mount-devices.ts";

export function mountGroup(engine: LxdEngine): Mounts {
  return {
    attach: async (lock, mount, context) => attach(engine, lockedId(engine, lock), mount, context),
    detach: async (lock, target, context) => detach(engine, lockedId(engine, lock), target, context),
    // LXD mounts them in the guest, even while it runs.
    inside: async () => [],
    refusal: (maps) => mapRefusal(engine, [maps]),
  };
}

async function attach(
  engine: LxdEngine,
  id: string,
  mount: Mount,
  context: Context,
): Promise<"applied" | "restart"> {
  const managed = await getReady(engine, id);
  if (isMachine(managed)) {
    throw noMounts(engine);
  }
  checkMount(engine, mount);
  await memberHere(engine, managed.member);
  const mounts = readMounts(managed.name, managed.config);
  const { target } = mount;
  if (mounts.some((each) => each.target === target)) {
    throw failure("MOUNT_EXISTS", { name: managed.name, target });
  }
  await requireMappable(engine, [...mounts, mount]);
  return write(engine, managed, [...mounts, mount], context);
}

async function detach(
  engine: LxdEngine,
  id: string,
  target: string,
  context: Context,
): Promise<"applied" | "restart"> {
  const managed = await getReady(engine, id);
  const mounts = readMounts(managed.name, managed.config);
  return write(
    engine,
    managed,
    mounts.filter((each) => each.target !== target),
    context,
  );
}

/** A single change in LXD: record, devices and id map, all of it or nothing. */
async function write(
  engine: LxdEngine,
  managed: Managed,
  mounts: readonly Mount[],
  { signal }: Context,
): Promise<"applied" | "restart"> {
  const { config, instance } = managed;
  signal.throwIfAborted();
  const maps = idMapKeys(mounts);
  const devices = { ...withoutMounts(instance.devices), ...mountDevices(mounts) };
  await replaceConfig(engine, managed, { ...config, ...mountKeys(mounts), ...maps }, devices);
  if (instance.status === "Stopped") {
    return "restart";
  }
  // A new id map takes effect at the container's next start.
  return (config["raw.idmap"] ?? "") === maps["raw.idmap"] ? "applied" : "restart";
}
