import { createHash } from "node:crypto";
import type { Mount } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import type { LxdEngine } from "../engine.ts";
import type { Devices } from "../rest/shapes.ts";

const DEVICE = /^strata-mount-/;

/** Rejects with UNSUPPORTED mounts that this engine does not support. */
export function checkMount(engine: Pick<LxdEngine, "remote" | "flavour">, { type }: Mount): void {
  if (type !== "native") {
    throw refuse(engine, "containers use the host's folders directly: use type native");
  }
  if (engine.remote) {
    throw refuse(engine, REMOTE);
  }
}

/**
 * The member of the cluster with this host's folders, the one that the socket belongs to; undefined without a
 * cluster. Rejects with UNSUPPORTED if an instance is, or is to be, on another member.
 */
export async function memberHere(engine: LxdEngine, wanted: string | undefined): Promise<string | undefined> {
  const { environment } = await engine.server();
  if (!environment.server_clustered) {
    return undefined;
  }
  const here = environment.server_name;
  if (wanted !== undefined && wanted !== here) {
    throw refuse(engine, `the folders of this host are on the member ${here}, not on ${wanted}`);
  }
  return here;
}

function refuse({ flavour }: Pick<LxdEngine, "flavour">, reason: string) {
  return failure("UNSUPPORTED", { what: "the mount", engine: flavour.title, reason });
}

export const REMOTE = "the server is reached over a URL, and the folders of this host are not on it";

/**
 * A device's name does not contain its folder, because a target may be longer than LXD allows names to be.
 */
export function mountDevice({ target }: Pick<Mount, "target">): string {
  return `strata-mount-${createHash("sha256").update(target).digest("hex").slice(0, 16)}`;
}

/** Folders of the host as disk devices. One whose source no longer exists is skipped at the start. */
export function mountDevices(mounts: readonly Mount[]): Devices {
  return Object.fromEntries(
    mounts.map((mount) => [
      mountDevice(mount),
      { type: "disk", source: mount.source, path: mount.target, required: "false" },
    ]),
  );
}

/** An instance's devices without those of its mounts. */
export function withoutMounts(devices: Devices): Devices {
  return Object.fromEntries(Object.entries(devices).filter(([name]) => !DEVICE.test(name)));
}
