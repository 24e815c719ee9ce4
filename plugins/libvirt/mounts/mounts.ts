import type { Context, Feature, GuestMount, Mount, Mounts } from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { failure } from "../../../lib/errors.ts";
import { changedMetadata, define, getManaged, type LibvirtEngine, writeMetadata } from "../engine.ts";
import { getReady } from "../journal/recover.ts";
import { copy } from "../xml/document.ts";
import { type Filesystem, mountTag, readFilesystems, setFilesystems } from "../xml/filesystem.ts";
import { putMetadata } from "../xml/metadata.ts";
import { live, plug, unplug } from "./hotplug.ts";
import { CLASSIC, putMounts, requireServable, sweepLaunchers } from "./servable.ts";
import type { Sharing } from "./sharing.ts";

/**
 * The metadata lists the configured mounts. The domain's devices are made from them at every start: a mount
 * whose source is gone gets none, so that the instance starts without it, and gets one again at the first
 * start after the source is back.
 */
export function mountGroup(engine: LibvirtEngine): Mounts {
  return {
    attach: async (lock, mount, context) => attach(engine, lockedId(engine, lock), mount, context),
    detach: async (lock, target, context) => detach(engine, lockedId(engine, lock), target, context),
    inside: (id) => inside(engine, id),
  };
}

/** The mount features of this host, and the reasons for those that it lacks. */
export function mountFeatures(sharing: Sharing): { features: Feature[]; missing: [Feature, string][] } {
  const classic: [Feature, string] = ["mount.classic", CLASSIC];
  if (sharing.driver === null) {
    return { features: [], missing: [["mount.native", sharing.reason], classic] };
  }
  const features: Feature[] = ["mount.native"];
  const missing = [classic];
  if (sharing.driver === "virtiofs") {
    features.push("mount.hotplug");
  } else {
    missing.push(["mount.hotplug", "libvirt can hot-plug virtiofs, but not 9p"]);
  }
  if (sharing.unmapped === null) {
    features.push("mount.idmap");
  } else {
    missing.push(["mount.idmap", sharing.unmapped]);
  }
  return { features, missing };
}

async function attach(
  engine: LibvirtEngine,
  id: string,
  mount: Mount,
  context: Context,
): Promise<"applied" | "restart"> {
  const managed = await getReady(engine, id, context);
  const { domain, name, document } = managed;
  const { target } = mount;
  if (managed.metadata.mounts.some((each) => each.target === target)) {
    throw failure("MOUNT_EXISTS", { name, target });
  }
  await requireServable(engine, name, [mount]);
  const before = copy(document);
  const metadata = changedMetadata(managed.metadata, { mounts: [...managed.metadata.mounts, mount] });
  putMetadata(document, metadata);
  await putMounts(engine, document, metadata);
  context.signal.throwIfAborted();
  await define(engine, document);
  if (!(await domain.isActive())) {
    return "restart";
  }
  try {
    const wanted = readFilesystems(document).find(({ tag }) => tag === mountTag(target));
    // A device with this target that the guest has not released yet belongs to another mount.
    const applied =
      wanted !== undefined && (await unplug(domain, wanted.tag)) && (await plug(domain, wanted));
    await writeMetadata({ ...managed, metadata }, {});
    return applied ? "applied" : "restart";
  } catch (error) {
    await define(engine, before);
    throw error;
  }
}

async function detach(
  engine: LibvirtEngine,
  id: string,
  target: string,
  context: Context,
): Promise<"applied" | "restart"> {
  const managed = await getReady(engine, id, context);
  const { domain, document } = managed;
  const mounts = managed.metadata.mounts.filter((each) => each.target !== target);
  if (mounts.length < managed.metadata.mounts.length) {
    const metadata = changedMetadata(managed.metadata, { mounts });
    putMetadata(document, metadata);
    setFilesystems(
      document,
      readFilesystems(document).filter(({ tag }) => tag !== mountTag(target)),
    );
    await define(engine, document);
    await sweepLaunchers({ document, metadata });
    await writeMetadata({ ...managed, metadata }, {});
  }
  if (!(await domain.isActive())) {
    return "restart";
  }
  return (await unplug(domain, mountTag(target))) ? "applied" : "restart";
}

async function inside(engine: LibvirtEngine, id: string): Promise<GuestMount[]> {
  const { domain, metadata } = await getManaged(engine, id);
  if (metadata.mounts.length === 0 || !(await domain.isActive())) {
    return [];
  }
  const present = readFilesystems(await live(domain));
  return metadata.mounts.flatMap(({ target }) => {
    const device = present.find(({ tag }) => tag === mountTag(target));
    return device === undefined ? [] : [guestMount(device, target)];
  });
}

function guestMount({ driver, tag }: Filesystem, target: string): GuestMount {
  return driver === "virtiofs"
    ? { target, source: tag, filesystem: "virtiofs", options: "" }
    : { target, source: tag, filesystem: "9p", options: "trans=virtio,version=9p2000.L,msize=524288" };
}
