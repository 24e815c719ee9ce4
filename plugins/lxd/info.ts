import type { EngineInfo, Feature } from "../../lib/engine/contract.ts";
import { VERSION } from "../../lib/version.ts";
import { placement } from "./domain/placement.ts";
import type { LxdEngine } from "./engine.ts";
import { lxdError } from "./errors.ts";
import { NO_DISKS } from "./lifecycle/creation.ts";
import { FORMAT } from "./lifecycle/images.ts";
import { DISK_FORMAT, machineRefusal } from "./lifecycle/machines.ts";
import { sampleRefusal } from "./mounts/id-maps.ts";
import { REMOTE } from "./mounts/mount-devices.ts";
import { NO_AGENT, NO_MEMORY } from "./snapshots/snapshots.ts";

/** Pools that keep a root disk within its size. The pool `dir` writes into a folder of the host. */
const LIMITING = ["btrfs", "zfs", "lvm", "lvmcluster", "ceph"];

/** What works on every server. */
const EVERYWHERE: readonly Feature[] = [
  "snapshot.stopped",
  "snapshot.running",
  "snapshot.drop-running",
  "suspend",
  "clone",
  "rename",
  "autostart",
  "network.list",
  "network.attach",
  "events",
  "console",
  "console.log",
];

export async function engineInfo(engine: LxdEngine): Promise<EngineInfo> {
  const { environment } = await engine.server();
  const noMachines = await machineRefusal(engine);
  const features = new Set<Feature>(EVERYWHERE);
  const missing = new Map<Feature, string>([
    ["snapshot.quiesce", NO_AGENT],
    ["snapshot.memory", NO_MEMORY],
    ["snapshot.group", "snapshots are taken of one instance at a time"],
    ["disks", NO_DISKS],
    ["cdrom", "its instances have no CD drive; launch them from an image"],
    ["eject", "its instances have no CD drive"],
    ["mount.classic", "containers use the host's folders directly"],
  ]);
  /** `refusal`: why a feature is missing; null where it is there. */
  const declare = (feature: Feature, refusal: string | null) => {
    if (refusal === null) {
      features.add(feature);
    } else {
      missing.set(feature, refusal);
    }
  };
  declare("vm", noMachines === null ? null : `${noMachines}; ${ONLY}`);
  declare("cluster", environment.server_clustered ? null : "the server is not a member of a cluster");
  declare("mount.native", engine.remote ? REMOTE : null);
  if (!engine.remote) {
    declare("mount.hotplug", null);
  }
  declare("mount.idmap", engine.remote ? REMOTE : await sampleRefusal(engine));
  declare("disk.grow", await growthRefusal(engine));
  return {
    name: engine.flavour.name,
    version: VERSION,
    engine: `${environment.server === "incus" ? "Incus" : "LXD"} ${environment.server_version}`,
    kind: "container",
    features,
    missing,
    imageFormats: noMachines === null ? [FORMAT, DISK_FORMAT] : [FORMAT],
  };
}

/** Why a root disk cannot grow; null if it can. */
async function growthRefusal(engine: LxdEngine): Promise<string | null> {
  try {
    const { pool } = await placement(engine);
    return LIMITING.includes(pool.driver)
      ? null
      : `the storage pool "${pool.name}" uses the driver ${pool.driver}, which cannot limit the size of a disk`;
  } catch (error) {
    return lxdError(error, engine.flavour).message;
  }
}

/** What to do where there are no virtual machines. */
export const ONLY =
  "strata runs containers there, from an image that `strata image build debian --variant container` builds";
