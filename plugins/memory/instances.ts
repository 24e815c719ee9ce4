import { randomUUID } from "node:crypto";
import {
  type Autostart,
  type Instance,
  type Instances,
  type Lock,
  mergeRecord,
} from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { coveredDisks, grownDisks, newDisks } from "./disks.ts";
import { goOn, type Locks, lockedInstance, lockInstance, requireStopped } from "./lock.ts";
import { powerless } from "./moment.ts";
import { requireNative } from "./mounts.ts";
import { newMac, toNic } from "./networks.ts";
import type { StoredInstance, World } from "./world.ts";

function view(stored: StoredInstance): Instance {
  const { id, name, state, resources, mounts, nics, record, snapshots, firmware, resumes } = stored;
  return {
    id,
    name,
    state,
    resources,
    mounts,
    nics,
    record,
    ...(firmware === undefined ? {} : { firmware }),
    ...(resumes === undefined ? {} : { resumes }),
    addresses: stored.state === "running" ? ["10.0.0.1"] : [],
    snapshotCount: snapshots.length,
  };
}

export function instanceGroup(world: World, locks: Locks): Instances {
  const locked = (lock: Lock) => lockedInstance(world, locks, lock);
  return {
    list: async () => (await world.all()).map(view),
    find: async (name) => {
      const found = (await world.all()).find((instance) => instance.name === name);
      return found === undefined ? null : view(found);
    },
    async footprint(id) {
      const { nics, contents, further } = await world.get(id);
      const hostDisk = BigInt(JSON.stringify({ contents, further }).length);
      return { macs: nics.map(({ mac }) => mac), hostDisk };
    },
    lock: (instance, { wait }, context) => lockInstance(world, locks, instance, wait, context, view),
    check: ({ name }) => requireFree(world, name),
    async create(spec, context) {
      goOn(context);
      requireNative(spec.mounts);
      world.step("create");
      const stored: StoredInstance = {
        id: randomUUID(),
        name: spec.name,
        state: "stopped",
        resources: { ...spec.resources, ...newDisks(spec.extraDisks) },
        mounts: spec.mounts,
        nics: spec.networks.map(toNic),
        record: spec.record,
        firmware: spec.firmware ?? "bios",
        contents: {},
        snapshots: [],
        standsOn: null,
      };
      await world.add(stored);
      return view(stored);
    },
    async start(lock, context) {
      const stored = await locked(lock);
      goOn(context);
      world.step("start");
      const boots = stored.state === "stopped" ? `${stored.name} has booted\n` : "";
      const { resumes: _, ...kept } = stored;
      await world.put({ ...kept, state: "running", console: `${stored.console ?? ""}${boots}` });
    },
    async stop(lock, options) {
      const stored = await locked(lock);
      if (stored.state === "suspended" && options !== "force") {
        throw failure("INSTANCE_SUSPENDED", {
          name: stored.name,
          reason: "A suspended instance cannot be shut down",
        });
      }
      world.step("stop");
      await world.put(powerless(stored));
    },
    async suspend(lock) {
      const stored = await locked(lock);
      if (stored.state === "suspended") {
        return;
      }
      if (stored.state !== "running") {
        throw failure("WRONG_STATE", {
          name: stored.name,
          reason: "Only running instances can be suspended",
          state: "Stopped",
        });
      }
      world.step("suspend");
      await world.put({ ...stored, state: "suspended" });
    },
    async clone(lock, copy, context) {
      const stored = await locked(lock);
      requireStopped(stored, "Only stopped instances can be cloned");
      goOn(context);
      world.step("clone");
      const { name, record } = copy;
      const nics = stored.nics.map((nic) => ({ ...nic, mac: newMac() }));
      const own = {
        id: randomUUID(),
        name,
        record,
        nics,
        snapshots: [],
        standsOn: null,
        console: "",
        autostart: false,
      };
      const made = { ...stored, ...coveredDisks(stored), ...own };
      await world.add(made);
      return view(made);
    },
    async rename(lock, to, context) {
      const stored = await locked(lock);
      requireStopped(stored, "Only stopped instances can be renamed");
      goOn(context);
      if (to !== stored.name) {
        await requireFree(world, to);
      }
      world.step("rename");
      const renamed = { ...stored, name: to };
      await world.put(renamed);
      return view(renamed);
    },
    async resize(lock, change, context) {
      const stored = await locked(lock);
      goOn(context);
      const { name, resources } = stored;
      requireStopped(stored, "Only stopped instances can be resized");
      if (change.disk !== undefined && change.disk < resources.disk) {
        throw failure("DISK_SHRINK", { name, current: resources.disk, wanted: change.disk });
      }
      const { disks = [], ...others } = change;
      const grown = grownDisks(stored, disks);
      world.step("resize");
      await world.put({ ...stored, resources: { ...resources, ...others, ...grown } });
    },
    async annotate(lock, change) {
      const { id } = await locked(lock);
      await world.change([id], (stored) => ({ ...stored, record: mergeRecord(stored.record, change) }));
    },
    async remove(lock) {
      const { id } = await locked(lock);
      world.step("remove");
      await world.remove(id);
    },
  };
}

async function requireFree(world: World, name: string): Promise<void> {
  if ((await world.all()).some((each) => each.name === name)) {
    throw failure("INSTANCE_EXISTS", { name });
  }
}

export function autostartGroup(world: World, locks: Locks): Autostart {
  return {
    get: async (id) => (await world.get(id)).autostart === true,
    async set(lock, on) {
      const stored = await lockedInstance(world, locks, lock);
      world.step("autostart");
      await world.put({ ...stored, autostart: on });
    },
  };
}
