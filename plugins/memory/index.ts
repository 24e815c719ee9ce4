import { join } from "node:path";
import {
  API_VERSION,
  type Backend,
  type BackendPlugin,
  type OpenOptions,
} from "../../lib/backend/contract.ts";
import { guestAccess } from "./guest.ts";
import { type Holds, instanceGroup } from "./instances.ts";
import { mountGroup } from "./mounts.ts";
import { networkGroup } from "./networks.ts";
import { snapshotGroup } from "./snapshots.ts";
import { createWorld, type Fault, type World } from "./world.ts";

/**
 * An engine without machines: instances, their disks and snapshots are objects. It is the example for
 * authors of engines and the quick double for tests of what stands above an engine.
 */
const plugin: BackendPlugin = {
  apiVersion: API_VERSION,
  name: "memory",
  description: "instances that exist in memory alone, for tests and as an example",
  settings: [
    {
      key: "persist",
      default: "true",
      description: "keep the instances in a file of the data folder between commands",
      validate: (value) => (value === "true" || value === "false" ? undefined : "it is true or false"),
    },
  ],
  check: async () => [{ what: "memory", ok: true, detail: "always there" }],
  open: async (options: OpenOptions) =>
    memoryBackend({
      file: options.settings.persist === "false" ? undefined : join(options.dataFolder, "memory.json"),
    }),
};

export default plugin;

/** The engine itself; with a `fault` that is asked before every step. */
export function memoryBackend(
  options: { file?: string | undefined; fault?: Fault } = {},
): Backend & { readonly world: World } {
  const world = createWorld(options.file, options.fault);
  const holds: Holds = { held: new Map() };
  return {
    world,
    info: async () => ({
      name: plugin.name,
      version: "0.1.0",
      engine: "memory",
      kind: "fake",
      features: new Set([
        "snapshot.stopped",
        "disk.grow",
        "suspend",
        "clone",
        "network.list",
        "network.attach",
        "mount.native",
        "mount.hotplug",
        "mount.idmap",
      ]),
      missing: new Map(),
      imageFormats: ["any"],
    }),
    instances: instanceGroup(world, holds),
    snapshots: snapshotGroup(world, holds),
    mounts: mountGroup(world, holds),
    networks: networkGroup(world, holds),
    guest: guestAccess(world),
    [Symbol.asyncDispose]: async () => {},
  };
}
