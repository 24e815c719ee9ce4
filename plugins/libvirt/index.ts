import {
  API_VERSION,
  type Engine,
  type EngineInfo,
  type EnginePlugin,
  type EngineSetting,
  type Feature,
  type OpenOptions,
} from "../../lib/engine/contract.ts";
import { mapErrors } from "../../lib/engine/map-errors.ts";
import { VERSION } from "../../lib/version.ts";
import { maintenanceGroup } from "./audit/maintenance.ts";
import { checkHost } from "./check.ts";
import { consoleGroup } from "./console/console.ts";
import { autostartGroup } from "./domain/autostart.ts";
import { events } from "./domain/events.ts";
import { instanceGroup } from "./domain/instances.ts";
import { type LibvirtEngine, openEngine } from "./engine.ts";
import { libvirtError } from "./errors.ts";
import { readImageGroup } from "./layers/flattened/read-images.ts";
import { adoptionGroup } from "./lifecycle/adoption.ts";
import { diskGroup } from "./lifecycle/disks.ts";
import { CPU_OVERCOMMIT } from "./lifecycle/limits.ts";
import { mountFeatures, mountGroup } from "./mounts/mounts.ts";
import { NO_NETWORKS, networkGroup } from "./network/interfaces.ts";
import { sshAccess } from "./network/networks.ts";
import { portableGroup } from "./portable/portable.ts";
import { snapshotGroup } from "./snapshots/snapshots.ts";
import { storage } from "./storage/usage.ts";

const NETWORKING: readonly Feature[] = ["network.list", "network.attach"];

function oneOf(...values: readonly string[]): EngineSetting["validate"] {
  return (value) => (values.includes(value) ? undefined : `must be one of ${values.join(", ")}`);
}

function wholeNumber(least: number, most: number): EngineSetting["validate"] {
  return (value) =>
    /^\d{1,9}$/.test(value) && Number(value) >= least && Number(value) <= most
      ? undefined
      : `must be a whole number from ${least} to ${most}`;
}

const settings: readonly EngineSetting[] = [
  {
    key: "uri",
    default: "",
    description: "libvirt URI; if empty, qemu:///system for root and qemu:///session for other users",
    validate: (value) =>
      value === "" || /^qemu(\+unix)?:\/\/\/(system|session)(\?.*)?$/.test(value)
        ? undefined
        : "must be qemu:///system or qemu:///session, because strata works on the disk files of this host",
  },
  {
    key: "accelerator",
    default: "auto",
    description:
      "auto, kvm or tcg; auto uses KVM if the processor supports it, else TCG (software emulation)",
    validate: oneOf("auto", "kvm", "tcg"),
  },
  {
    key: "network",
    default: "default",
    description: "libvirt network that new instances are attached to in system mode",
    validate: (value) => (/^[^/\n]+$/.test(value) ? undefined : "must be the name of a libvirt network"),
  },
  {
    key: "read-images",
    default: "auto",
    description:
      "auto or off; auto builds a read image when an instance with many layers starts, if that takes seconds",
    validate: oneOf("auto", "off"),
  },
  {
    key: "read-image-size",
    default: "16",
    description: "largest read image that a start may build, in GiB",
    validate: wholeNumber(1, 1_000_000),
  },
  {
    key: "cpu-overcommit",
    default: String(CPU_OVERCOMMIT),
    description: "most CPUs of an instance for each CPU of the host",
    validate: wholeNumber(1, 1024),
  },
  {
    key: "memory-overcommit",
    default: "1",
    description: "most memory of an instance, as a multiple of the host's",
    validate: wholeNumber(1, 1024),
  },
  {
    key: "chain-length",
    default: "48",
    description:
      "largest number of files that QEMU opens for a disk; longer chains are shortened with keyframes",
    validate: wholeNumber(4, 190),
  },
];

const plugin: EnginePlugin = {
  apiVersion: API_VERSION,
  name: "libvirt",
  description: "virtual machines on libvirt and QEMU",
  settings,
  check: checkHost,
  open: async (options: OpenOptions) => groupsOf(await openEngine(options)),
};

export default plugin;

/** The one place where errors of libvirt are mapped: within the engine they are what they are. */
function groupsOf(engine: LibvirtEngine): Engine {
  const net = <Group extends object>(group: Group) => mapErrors(group, libvirtError);
  return {
    ...net<Pick<Engine, "info" | "version" | "storage" | "events" | typeof Symbol.asyncDispose>>({
      info: () => info(engine),
      version: () => version(engine),
      storage: () => storage(engine),
      events: (signal) => events(engine, signal),
      [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
    }),
    instances: net(instanceGroup(engine)),
    snapshots: net(snapshotGroup(engine)),
    guest: net(sshAccess(engine)),
    adoption: net(adoptionGroup(engine)),
    disks: net(diskGroup(engine)),
    mounts: net(mountGroup(engine)),
    ...(engine.session ? {} : { networks: net(networkGroup(engine)) }),
    readImages: net(readImageGroup(engine)),
    maintenance: net(maintenanceGroup(engine)),
    portable: net(portableGroup(engine)),
    console: net(consoleGroup(engine)),
    autostart: net(autostartGroup(engine)),
  };
}

async function version({ connection }: LibvirtEngine): Promise<string> {
  const [libvirt, qemu] = await Promise.all([connection.libVersion(), connection.hypervisorVersion()]);
  const text = ({ major, minor, release }: typeof libvirt) => `${major}.${minor}.${release}`;
  return `libvirt ${text(libvirt)}, QEMU ${text(qemu)}`;
}

async function info(engine: LibvirtEngine): Promise<EngineInfo> {
  const { session, sharing } = engine;
  const [behind, mounting, support] = await Promise.all([
    version(engine),
    sharing().then(mountFeatures),
    engine.firmware(),
  ]);
  const noUefi = support.get("uefi") ?? undefined;
  return {
    name: plugin.name,
    version: VERSION,
    engine: behind,
    kind: "vm",
    features: new Set<Feature>([
      "snapshot.stopped",
      "snapshot.running",
      "snapshot.quiesce",
      "snapshot.memory",
      "snapshot.group",
      "disk.grow",
      "disks",
      "suspend",
      "clone",
      "rename",
      "portable",
      "autostart",
      "adopt",
      "cdrom",
      "eject",
      "events",
      ...(session ? [] : NETWORKING),
      "read-image",
      "audit",
      "console",
      "console.log",
      ...(noUefi === undefined ? ["firmware" as const] : []),
      ...mounting.features,
    ]),
    missing: new Map<Feature, string>([
      ["snapshot.drop-running", "layers that a guest reads are merged when it stops"],
      ...(session ? NETWORKING.map((feature) => [feature, NO_NETWORKS] as const) : []),
      ...(noUefi === undefined ? [] : [["firmware", noUefi] as const]),
      ...mounting.missing,
    ]),
    imageFormats: ["qcow2"],
  };
}
