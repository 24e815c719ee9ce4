import type { EngineInfo, Feature } from "../../lib/engine/contract.ts";
import { VERSION } from "../../lib/version.ts";
import { placement } from "./domain/placement.ts";
import type { LxdEngine } from "./engine.ts";
import { lxdError } from "./errors.ts";
import { FORMAT } from "./lifecycle/images.ts";
import { DISK_FORMAT, machineRefusal } from "./lifecycle/machines.ts";
import { sampleRefusal } from "./mounts/id-maps.ts";
import { REMOTE } from "./mounts/mount-devices.ts";

/** Pools that keep a root disk within its size. The pool `dir` writes into a folder of the host. */
const LIMITING = ["btrfs", "zfs", "lvm", "lvmcluster", "ceph"];

export async function engineInfo(engine: LxdEngine): Promise<EngineInfo> {
  const { environment } = await engine.server();
  const features = new Set<Feature>([
    "snapshot.stopped",
    "suspend",
    "clone",
    "network.list",
    "network.attach",
    "events",
  ]);
  const missing = new Map<Feature, string>([
    ["snapshot.running", "snapshots are taken of stopped instances"],
  ]);
  const noMachines = await machineRefusal(engine);
  if (noMachines === null) {
    features.add("vm");
  } else {
    missing.set("vm", `${noMachines}; ${ONLY}`);
  }
  if (environment.server_clustered) {
    features.add("cluster");
  } else {
    missing.set("cluster", "the server is not a member of a cluster");
  }
  if (engine.remote) {
    missing.set("mount.native", REMOTE);
  } else {
    for (const each of ["mount.native", "mount.hotplug"] as const) {
      features.add(each);
    }
  }
  const unmapped = engine.remote ? REMOTE : await sampleRefusal(engine);
  if (unmapped === null) {
    features.add("mount.idmap");
  } else {
    missing.set("mount.idmap", unmapped);
  }
  missing.set("cdrom", "its instances have no CD drive; launch them from an image");
  missing.set("mount.classic", "containers use the host's folders directly");
  const pool = await placement(engine).then(
    (found) => found.pool,
    (error: unknown) => lxdError(error).message,
  );
  if (typeof pool === "string") {
    missing.set("disk.grow", pool);
  } else if (LIMITING.includes(pool.driver)) {
    features.add("disk.grow");
  } else {
    missing.set(
      "disk.grow",
      `the storage pool "${pool.name}" uses the driver ${pool.driver}, which cannot limit the size of a disk`,
    );
  }
  return {
    name: "lxd",
    version: VERSION,
    engine: `${environment.server === "incus" ? "Incus" : "LXD"} ${environment.server_version}`,
    kind: "container",
    features,
    missing,
    imageFormats: noMachines === null ? [FORMAT, DISK_FORMAT] : [FORMAT],
  };
}

/** What to do where there are no virtual machines. */
export const ONLY =
  "strata runs containers there, from an image that `strata image build debian --variant container` builds";
