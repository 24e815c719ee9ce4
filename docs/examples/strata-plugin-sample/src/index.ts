import { join } from "node:path";
import type { Engine, EnginePlugin } from "strata-vm/engine";
import { guestAccess } from "./guest.ts";
import { instanceGroup } from "./instances.ts";
import type { Locks } from "./lock.ts";
import { snapshotGroup } from "./snapshots.ts";
import { openStore } from "./store.ts";

/** The one export: what strata reads before it opens the engine. Loading this module does nothing. */
const plugin: EnginePlugin = {
  // The version of the contract that this was written for: a constant of ours, never strata's own.
  apiVersion: "3.0.0",
  name: "sample",
  description: "instances that are files of one folder",
  settings: [
    {
      key: "folder",
      default: "",
      description: "where the instances are; empty: in strata's data folder",
      validate: (value) => (value === "" || value.startsWith("/") ? undefined : "must be an absolute path"),
    },
  ],
  check: async () => [{ what: "node", ok: true, detail: process.version }],
  open: async ({ settings, dataFolder }) => openSample(settings.folder || join(dataFolder, "sample")),
};

export default plugin;

/** The open engine. It has no groups beyond those that every engine must have. */
async function openSample(folder: string): Promise<Engine> {
  const store = await openStore(folder);
  const locks: Locks = new WeakSet();
  return {
    info: async () => ({
      name: plugin.name,
      version: "0.1.0",
      engine: `files of ${folder}`,
      kind: "fake",
      features: new Set(["snapshot.stopped", "disk.grow"]),
      missing: new Map([
        ["snapshot.running", "files are copied while no guest writes them"],
        ["suspend", "there is no memory to keep"],
        ["mount.native", "its guests have no folders"],
        ["clone", "nobody has written it yet"],
      ]),
      imageFormats: ["any"],
    }),
    instances: instanceGroup(store, locks),
    snapshots: snapshotGroup(store, locks),
    guest: guestAccess(store),
    [Symbol.asyncDispose]: async () => {},
  };
}
