import { join } from "node:path";
import {
  API_VERSION,
  type Engine,
  type EnginePlugin,
  type OpenOptions,
  type StorageUsage,
} from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { VERSION } from "../../lib/version.ts";
import { consoleGroup } from "./console.ts";
import { diskGroup } from "./disks.ts";
import { createFaults, type Faults, type How, type PlannedFault, readScript } from "./faults.ts";
import { guestAccess } from "./guest.ts";
import { autostartGroup, instanceGroup } from "./instances.ts";
import { type Locks, releaseAll } from "./lock.ts";
import { mountGroup } from "./mounts.ts";
import { networkGroup } from "./networks.ts";
import { snapshotGroup } from "./snapshots.ts";
import { createWorld, type World } from "./world.ts";

/**
 * An engine without machines: instances, their disks and snapshots are objects. It is the example for
 * authors of engines to read first (begin here, then `instances.ts`, `snapshots.ts`, `guest.ts`), and the
 * quick double for tests of what stands above an engine. See docs/plugins.md.
 *
 * Its locks are kept in the process: two commands at once on one file do not keep each other out.
 */
const plugin: EnginePlugin = {
  apiVersion: API_VERSION,
  name: "memory",
  description: "instances that exist only in memory, for tests and as an example",
  settings: [
    {
      key: "persist",
      default: "true",
      description: "keep the instances in a file of the data folder between commands",
      validate: (value) => (value === "true" || value === "false" ? undefined : "must be true or false"),
    },
    {
      key: "faults",
      default: "",
      description: "steps at which a command fails or dies, such as fail@3,die@7",
      validate: (value) =>
        readScript(value) === undefined ? "must be a list of fail@STEP and die@STEP" : undefined,
    },
  ],
  check: async () => [{ what: "memory", ok: true, detail: "always there" }],
  async open({ settings, dataFolder }: OpenOptions) {
    const faults = createFaults(() => {
      process.kill(process.pid, "SIGKILL");
      throw new Error("killed");
    });
    for (const { step, how } of readScript(settings.faults ?? "") ?? []) {
      faults.plan(step, how);
    }
    const file = settings.persist === "false" ? undefined : join(dataFolder, "memory.json");
    return memoryEngine({ file, faults });
  },
};

export default plugin;

export interface MemoryEngine extends Engine {
  readonly world: World;
  /** Another engine with the same instances and locks. */
  sibling(): Engine;
  /** Plans a fault; dying loses the locks, as the end of a process does. */
  fault(step: number, how: How): PlannedFault;
}

/** The engine itself, as tests use it. */
export function memoryEngine(options: { file?: string | undefined; faults?: Faults } = {}): MemoryEngine {
  const locks: Locks = { states: new Map() };
  const faults =
    options.faults ??
    createFaults(() => {
      releaseAll(locks);
      throw failure("ENGINE_LOST", { engine: "memory", reason: "it died, as was planned" });
    });
  const world = createWorld(options.file, faults);
  const open = () => engineOf(world, locks);
  return { ...open(), world, sibling: open, fault: faults.plan };
}

/** A byte for each character of the objects that stand for disks. */
async function storage(world: World): Promise<StorageUsage> {
  const bytes = (value: unknown) => BigInt(JSON.stringify(value).length);
  const sum = (values: readonly unknown[]) => values.reduce<bigint>((all, each) => all + bytes(each), 0n);
  const instances = (await world.all()).map(
    ({ id, state, contents, memory, snapshots, record, console = "" }) => ({
      id,
      active: bytes(contents),
      snapshots: sum(snapshots.map((snapshot) => snapshot.contents)),
      flattened: 0n,
      // That of a guest that runs is on no disk.
      memory: sum(
        [state === "suspended" ? memory : undefined, ...snapshots.map((each) => each.memory)].filter(
          (each) => each !== undefined,
        ),
      ),
      other: bytes(record) + BigInt(console.length),
    }),
  );
  return { images: [], instances, folders: [] };
}

function engineOf(world: World, locks: Locks): Engine {
  return {
    info: async () => ({
      name: plugin.name,
      version: VERSION,
      engine: "memory",
      kind: "fake",
      features: new Set([
        "snapshot.stopped",
        "snapshot.running",
        "snapshot.quiesce",
        "snapshot.memory",
        "snapshot.group",
        "snapshot.drop-running",
        "disk.grow",
        "disks",
        "suspend",
        "clone",
        "rename",
        "autostart",
        "events",
        "network.list",
        "network.attach",
        "mount.native",
        "mount.hotplug",
        "mount.idmap",
        "console",
        "console.log",
        "firmware",
      ]),
      // A reason for whatever an engine has not: it is what a user reads who asks for it.
      missing: new Map([
        ["mount.classic", "native mounts do all that is needed"],
        ["adopt", "nothing is made here without strata"],
        ["cluster", "there is only one memory"],
        ["cdrom", "it has no drives"],
        ["eject", "it has no drives"],
      ]),
      imageFormats: ["any"],
    }),
    storage: () => storage(world),
    instances: instanceGroup(world, locks),
    autostart: autostartGroup(world, locks),
    snapshots: snapshotGroup(world, locks),
    disks: diskGroup(world, locks),
    mounts: mountGroup(world, locks),
    networks: networkGroup(world, locks),
    guest: guestAccess(world),
    console: consoleGroup(world),
    events: (signal) => world.watch(signal),
    [Symbol.asyncDispose]: async () => {},
  };
}
