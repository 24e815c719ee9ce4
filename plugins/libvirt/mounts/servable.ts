import { realpath, stat } from "node:fs/promises";
import type { Context, Mount } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { run } from "../../../lib/util/programs.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import type { Element } from "../xml/document.ts";
import { type Filesystem, mountTag, readFilesystems, setFilesystems } from "../xml/filesystem.ts";
import type { Metadata } from "../xml/metadata.ts";
import { removeLaunchers, writeLauncher } from "./launcher.ts";
import type { Sharing } from "./sharing.ts";

/** Why mounts of the type "classic" are not supported. */
export const CLASSIC =
  "classic mounts need a server that keeps running after the command; use a native mount";

/** Why a mount cannot be served on this host now; undefined if it can. */
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
    return "its path contains characters that XML cannot represent";
  }
  if (sharing.unmapped !== null && source.includes(",")) {
    return "its path contains a comma, at which libvirt would split it";
  }
  const real = await realpath(source).catch(() => undefined);
  if (real === undefined) {
    return "the folder does not exist";
  }
  if (real !== source) {
    return `it is now a link to ${real}`;
  }
  if (!(await stat(real)).isDirectory()) {
    return "it is not a folder";
  }
  return sharing.driver === "9p" ? hiddenFromQemu(engine, source) : undefined;
}

const UNWRITABLE = /[^\t\n\r\x20-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u;

/** QEMU opens the folder itself, so a guest does not start if QEMU's user cannot access it. */
async function hiddenFromQemu(engine: LibvirtEngine, source: string): Promise<string | undefined> {
  const { qemuUser } = await engine.host();
  if (engine.session || qemuUser === null || process.getuid?.() !== 0) {
    return undefined;
  }
  const ids = [`--reuid=${qemuUser.uid}`, `--regid=${qemuUser.gid}`, "--clear-groups"];
  return run("setpriv", [...ids, "test", "-r", source, "-a", "-x", source], { package: "util-linux" }).then(
    () => undefined,
    () =>
      `the user that QEMU runs as (uid ${qemuUser.uid}) cannot read it, and does not need to if virtiofsd is installed`,
  );
}

/** Rejects unless every mount can be served now: a mount that the user asks for must work. */
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

/** The devices of the mounts that can be served now, with a warning for each of the others. */
export async function servable(
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
      context?.warn?.(`${mount.source} is not mounted at ${mount.target} now: ${reason}`);
    }
  }
  return devices;
}

/**
 * Writes the devices of the mounts into the document, and their launchers into the instance's folder. True if
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

/** Removes the launchers that the definition does not use any more. */
export async function sweepLaunchers({ document, metadata }: Pick<Managed, "document" | "metadata">) {
  const used = readFilesystems(document).flatMap(({ launcher }) => launcher ?? []);
  await removeLaunchers(metadata.folder, used);
}
