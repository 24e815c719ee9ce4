import { access, constants, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { asStrataError } from "../../../lib/errors.ts";
import { run } from "../../../lib/util/programs.ts";
import type { Connection } from "../rpc/index.ts";
import { elements, find, parse, text } from "../xml/document.ts";
import { launcherScript } from "./launcher.ts";

/** How this host shares folders with guests. */
export type Sharing =
  | {
      readonly driver: "virtiofs";
      /** Path of virtiofsd. */
      readonly virtiofsd: string;
      /** Why strata's launcher, and with it id maps, cannot be used; null if it can. */
      readonly unmapped: string | null;
    }
  | { readonly driver: "9p"; readonly unmapped: string }
  | { readonly driver: null; readonly reason: string };

/** Folders with descriptions of vhost-user programs. If two files have the same name, the first counts. */
const DESCRIPTIONS = [
  "/etc/qemu/vhost-user",
  "/usr/local/share/qemu/vhost-user",
  "/usr/share/qemu/vhost-user",
];

/**
 * Probes the host. virtiofs needs a QEMU with the device, virtiofsd, and root (or, in session mode, libvirt
 * 10.0). Otherwise QEMU itself serves folders over 9p.
 */
export async function probeSharing(connection: Connection, session: boolean): Promise<Sharing> {
  const capabilities = await parse(await connection.domainCapabilities());
  const filesystem = find(capabilities, "devices", "filesystem");
  const drivers = elements(filesystem, "enum").flatMap((values) => elements(values, "value").map(text));
  const virtiofsd = session || !drivers.includes("virtiofs") ? undefined : await findVirtiofsd();
  if (virtiofsd !== undefined) {
    return { driver: "virtiofs", virtiofsd, unmapped: (await launcherObstacle()) ?? null };
  }
  // libvirt offers 9p even if QEMU was built without it.
  const emulator = text(find(capabilities, "path"));
  if (
    await run(emulator, ["-device", "virtio-9p-pci,help"]).then(
      () => true,
      () => false,
    )
  ) {
    return {
      driver: "9p",
      unmapped: `${session ? "in session mode" : "without virtiofsd"} folders are shared by 9p, and whatever is done in them is done as the user that QEMU runs as`,
    };
  }
  return { driver: null, reason: "this QEMU cannot share folders: it has neither virtiofs nor 9p" };
}

/** The virtiofsd that libvirt itself would start. */
async function findVirtiofsd(): Promise<string | undefined> {
  const files = new Map<string, string>();
  for (const folder of DESCRIPTIONS) {
    for (const file of await readdir(folder).catch(() => [])) {
      if (file.endsWith(".json") && !files.has(file)) {
        files.set(file, join(folder, file));
      }
    }
  }
  for (const [, path] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const binary = await readDescription(path);
    if (binary !== undefined) {
      return binary;
    }
  }
  return undefined;
}

async function readDescription(path: string): Promise<string | undefined> {
  try {
    const { type, binary }: { type?: unknown; binary?: unknown } = JSON.parse(await readFile(path, "utf8"));
    if (type !== "fs" || typeof binary !== "string") {
      return undefined;
    }
    await access(binary, constants.X_OK);
    return binary;
  } catch {
    return undefined;
  }
}

/** Why the launcher does not work here, found by running it with a program that does nothing. */
async function launcherObstacle(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) {
    return "only root can have libvirt start virtiofsd with an id map";
  }
  if (await isConfined()) {
    return "a security module confines libvirt here and keeps it from starting strata's launcher of virtiofsd";
  }
  const trial = launcherScript({ source: "/", uidMap: [{ host: 0, guest: 1000 }], gidMap: [] }, "true");
  return run("sh", ["-c", trial]).then(
    () => undefined,
    (error: unknown) => `user namespaces do not work here: ${asStrataError(error).message}`,
  );
}

async function isConfined(): Promise<boolean> {
  const look = (path: string) => readFile(path, "utf8").catch(() => "");
  const [selinux, apparmor] = await Promise.all([
    look("/sys/fs/selinux/enforce"),
    look("/sys/kernel/security/apparmor/profiles"),
  ]);
  return selinux.trim() === "1" || /^(libvirtd|virtqemud) \(enforce\)$/m.test(apparmor);
}
