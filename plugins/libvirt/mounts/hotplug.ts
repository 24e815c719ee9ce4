import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import { isLibvirt, isSaid } from "../errors.ts";
import { PCI_SLOTS_USED_UP } from "../messages.ts";
import { DeviceModifyFlags, type Domain } from "../rpc/index.ts";
import { type Element, parse, serialize } from "../xml/document.ts";
import {
  type Filesystem,
  filesystemElement,
  findFilesystem,
  hasSharedMemory,
  readFilesystems,
} from "../xml/filesystem.ts";
import { servable } from "./servable.ts";

/** How long a guest may take to release a device, and how often that is checked, ms. */
const UNPLUG_TIMEOUT_MS = 15_000;
const POLL_INTERVAL_MS = 100;

export async function live(domain: Domain): Promise<Element> {
  return parse(await domain.getXml());
}

/** Plugs in the mounts that a running guest lacks: after it was suspended, or when a source is back. */
export async function plugMounts(engine: LibvirtEngine, managed: Managed, context: Context): Promise<void> {
  const { domain, metadata } = managed;
  if (metadata.mounts.length === 0) {
    return;
  }
  const present = readFilesystems(await live(domain)).map(({ tag }) => tag);
  const wanted = await servable(engine, metadata, context);
  for (const each of wanted.filter(({ tag }) => !present.includes(tag))) {
    if (!(await plug(domain, each))) {
      context.warn?.(`${each.source} will be mounted at the next start of the guest`);
    }
  }
}

/** Plugs a device into a running guest. False if that needs a restart. */
export async function plug(domain: Domain, filesystem: Filesystem): Promise<boolean> {
  if (filesystem.driver !== "virtiofs" || !hasSharedMemory(await live(domain))) {
    return false;
  }
  try {
    await domain.attachDevice(serialize(filesystemElement(filesystem)), DeviceModifyFlags.LIVE);
    return true;
  } catch (error) {
    if (isSaid(error, PCI_SLOTS_USED_UP)) {
      return false;
    }
    throw error;
  }
}

/**
 * Unplugs a device from a running guest, which must not have it mounted. False if the guest does not release
 * it.
 */
export async function unplug(domain: Domain, tag: string): Promise<boolean> {
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
 * Unplugs the mounts of a running guest before its memory is saved: QEMU refuses to save with a virtiofs
 * device, or with a 9p one that is mounted. None may still be mounted inside. `plugMounts` brings them back.
 */
export async function unplugMounts({ domain, name }: Managed): Promise<void> {
  for (const { tag, source, driver } of readFilesystems(await live(domain))) {
    if (driver === "virtiofs" && !(await unplug(domain, tag))) {
      throw failure("WRONG_STATE", {
        name,
        reason: `Its guest does not release the mount of ${source}, and its memory cannot be saved with it`,
        state: "Running",
      });
    }
  }
}
