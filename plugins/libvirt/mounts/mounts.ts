import { realpath, stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { Context, Feature, GuestMount, Mount, Mounts } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { run } from "../../../lib/util/programs.ts";
import {
  changedMetadata,
  define,
  getManaged,
  type LibvirtEngine,
  lockedId,
  type Managed,
  writeMetadata,
} from "../engine.ts";
import { isLibvirt, mapped } from "../errors.ts";
import { getReady } from "../journal/recover.ts";
import { DeviceModifyFlags, type Domain } from "../rpc/index.ts";
import { copy, type Element, parse, serialize } from "../xml/document.ts";
import {
  type Filesystem,
  filesystemElement,
  findFilesystem,
  hasSharedMemory,
  mountTag,
  readFilesystems,
  setFilesystems,
} from "../xml/filesystem.ts";
import { type Metadata, putMetadata } from "../xml/metadata.ts";
import { removeLaunchers, writeLauncher } from "./launcher.ts";
import type { Sharing } from "./sharing.ts";

/** Why mounts of the type "classic" are not there. */
const CLASSIC = "it would need a server that outlives the command; native mounts need none";

/** How long a guest may take to let go of a device, ms, and how often it is looked for. */
const UNPLUG_TIMEOUT_MS = 15_000;
const POLL_INTERVAL_MS = 100;

/**
 * The wanted mounts are in the metadata. The domain's devices are made from them, at every start anew:
 * a mount whose source has gone has none, so that the instance starts without it, and gets one again at
 * the first start after the source is back.
 */
export function mountGroup(engine: LibvirtEngine): Mounts {
  return {
    attach: (lock, mount, context) => mapped(() => attach(engine, lockedId(engine, lock), mount, context)),
    detach: (lock, target, context) => mapped(() => detach(engine, lockedId(engine, lock), target, context)),
    inside: (id) => mapped(() => inside(engine, id)),
  };
}

/** What this host can do with mounts, and why not the rest. */
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

/** Why a mount cannot be served on this host now; undefined where it can. */
async function obstacle(
  engine: LibvirtEngine,
  { source, type, uidMap, gidMap }: Mount,
): Promise<string | undefined> {
  const sharing = await engine.sharing();
  if (type === "classic") {
    return CLASSIC;
  }
  if (sharing.driver === null) {
    return sharing.reason;
  }
  if (sharing.unmapped !== null && uidMap.length + gidMap.length > 0) {
    return sharing.unmapped;
  }
  if (UNWRITABLE.test(source)) {
    return "XML cannot carry its name";
  }
  if (sharing.unmapped !== null && source.includes(",")) {
    return "libvirt takes a comma in its name apart";
  }
  const real = await realpath(source).catch(() => undefined);
  if (real === undefined) {
    return "the folder does not exist";
  }
  if (real !== source) {
    return `it has become a link to ${real}`;
  }
  if (!(await stat(real)).isDirectory()) {
    return "it is not a folder";
  }
  return sharing.driver === "9p" ? hiddenFromQemu(engine, source) : undefined;
}

const UNWRITABLE = /[^\t\n\r\x20-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u;

/** QEMU opens the folder itself: a guest whose QEMU may not would not start. */
async function hiddenFromQemu(engine: LibvirtEngine, source: string): Promise<string | undefined> {
  const { qemuUser } = await engine.host();
  if (engine.session || qemuUser === null || process.getuid?.() !== 0) {
    return undefined;
  }
  const ids = [`--reuid=${qemuUser.uid}`, `--regid=${qemuUser.gid}`, "--clear-groups"];
  return run("setpriv", [...ids, "test", "-r", source, "-a", "-x", source], { package: "util-linux" }).then(
    () => undefined,
    () =>
      `the user that QEMU runs as (uid ${qemuUser.uid}) may not read it; with virtiofsd installed it need not`,
  );
}

/** Rejects unless every mount can be served now: what is asked for anew must work. */
export async function requireServable(
  engine: LibvirtEngine,
  name: string,
  mounts: readonly Mount[],
): Promise<void> {
  for (const mount of mounts) {
    const reason = await obstacle(engine, mount);
    if (reason !== undefined) {
      throw failure("MOUNT_REFUSED", { name, source: mount.source, reason });
    }
  }
}

async function toFilesystem(sharing: Sharing, folder: string, mount: Mount): Promise<Filesystem> {
  const { source, target } = mount;
  const tag = mountTag(target);
  if (sharing.driver !== "virtiofs") {
    return { driver: "9p", source, tag };
  }
  if (sharing.unmapped !== null) {
    return { driver: "virtiofs", source, tag };
  }
  const launcher = await writeLauncher(folder, mount, sharing.virtiofsd);
  return { driver: "virtiofs", source, tag, launcher };
}

/** The devices of those mounts that can be served now; the others are left out and warned about. */
async function servable(
  engine: LibvirtEngine,
  metadata: Pick<Metadata, "folder" | "mounts">,
  context?: Context,
): Promise<Filesystem[]> {
  const { folder, mounts } = metadata;
  if (mounts.length === 0) {
    return [];
  }
  const sharing = await engine.sharing();
  const devices: Filesystem[] = [];
  for (const mount of mounts) {
    const reason = await obstacle(engine, mount);
    if (reason === undefined) {
      devices.push(await toFilesystem(sharing, folder, mount));
    } else {
      context?.warn?.(`${mount.source} is left out of ${mount.target} for now: ${reason}`);
    }
  }
  return devices;
}

/**
 * Gives the document the devices of its mounts, and their launchers to the instance's folder. True when
 * the document has changed and must be defined.
 */
export async function putMounts(
  engine: LibvirtEngine,
  document: Element,
  metadata: Pick<Metadata, "folder" | "mounts">,
  context?: Context,
): Promise<boolean> {
  return setFilesystems(document, await servable(engine, metadata, context));
}

/** Takes away the launchers that the definition does not name any more. */
export async function sweepLaunchers({ document, metadata }: Pick<Managed, "document" | "metadata">) {
  const used = readFilesystems(document).flatMap(({ launcher }) => launcher ?? []);
  await removeLaunchers(metadata.folder, used);
}

async function live(domain: Domain): Promise<Element> {
  return parse(await domain.getXml());
}

/** Plugs in what a running guest lacks of its mounts: after suspension, or when a source has come back. */
export async function plugMounts(engine: LibvirtEngine, managed: Managed, context: Context): Promise<void> {
  const { domain, metadata } = managed;
  if (metadata.mounts.length === 0) {
    return;
  }
  const present = readFilesystems(await live(domain)).map(({ tag }) => tag);
  const wanted = await servable(engine, metadata, context);
  for (const each of wanted.filter(({ tag }) => !present.includes(tag))) {
    if (!(await plug(domain, each))) {
      context.warn?.(`${each.source} is there at the next start of the guest`);
    }
  }
}

/** Plugs a device into a running guest; false where only a start can bring it. */
async function plug(domain: Domain, filesystem: Filesystem): Promise<boolean> {
  if (filesystem.driver !== "virtiofs" || !hasSharedMemory(await live(domain))) {
    return false;
  }
  try {
    await domain.attachDevice(serialize(filesystemElement(filesystem)), DeviceModifyFlags.LIVE);
    return true;
  } catch (error) {
    if (error instanceof Error && /No more available PCI slots/.test(error.message)) {
      return false;
    }
    throw error;
  }
}

/** Takes a device out of a running guest, which must not have it mounted; false where it does not let go. */
async function unplug(domain: Domain, tag: string): Promise<boolean> {
  const device = findFilesystem(await live(domain), tag);
  if (device === undefined) {
    return true;
  }
  await domain.detachDevice(serialize(device), DeviceModifyFlags.LIVE).catch((error: unknown) => {
    if (!isLibvirt(error, "OPERATION_TIMEOUT", "OPERATION_FAILED", "DEVICE_MISSING")) {
      throw error;
    }
  });
  const end = Date.now() + UNPLUG_TIMEOUT_MS;
  while (findFilesystem(await live(domain), tag) !== undefined) {
    if (Date.now() > end) {
      return false;
    }
    await delay(POLL_INTERVAL_MS);
  }
  return true;
}

/**
 * Takes the mounts out of a running guest whose memory is to be saved, which QEMU refuses with a virtiofs
 * device in it, and with a 9p one that is mounted. None may be mounted inside any more. `plugMounts`
 * brings them back.
 */
export async function unplugMounts({ domain, name }: Managed): Promise<void> {
  for (const { tag, source, driver } of readFilesystems(await live(domain))) {
    if (driver === "virtiofs" && !(await unplug(domain, tag))) {
      throw failure("WRONG_STATE", {
        name,
        reason: `Its guest does not let go of the mount of ${source}, without which its memory cannot be saved`,
        state: "Running",
      });
    }
  }
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
    // One of this target that the guest has not let go of since is of another mount.
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
