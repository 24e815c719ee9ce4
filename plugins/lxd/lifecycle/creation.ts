import { randomUUID } from "node:crypto";
import type {
  Context,
  ImageSource,
  Instance,
  InstancePlan,
  InstanceSpec,
  Seed,
} from "../../../lib/engine/contract.ts";
import { asStrataError, failure } from "../../../lib/errors.ts";
import { writeConfig } from "../domain/changes.ts";
import { requireMember } from "../domain/cluster.ts";
import { limitKeys, ROOT } from "../domain/devices.ts";
import { findManaged, getManaged, instancePath, type Managed } from "../domain/managed.ts";
import { nicDevices, placement } from "../domain/placement.ts";
import { KEYS, mountKeys, operationKeys, ownKeys } from "../domain/records.ts";
import { toInstance } from "../domain/view.ts";
import type { LxdEngine } from "../engine.ts";
import { isSaid, isStatus } from "../errors.ts";
import { awaitOperations, removeInstance } from "../journal/recovery.ts";
import { lockInstance, releaseLease } from "../lock/instance-lock.ts";
import { newLease } from "../lock/lease.ts";
import { NAME_BEING_TAKEN, NAME_TAKEN, OUTPUT_MISREAD } from "../messages.ts";
import { idMapKeys, requireMappable } from "../mounts/id-maps.ts";
import { checkMount, memberHere, mountDevices } from "../mounts/mount-devices.ts";
import { networkKeys } from "../network/network-config.ts";
import { type Config, type Devices, instanceShape } from "../rest/shapes.ts";
import { FORMAT, importImage } from "./images.ts";
import { DISK_FORMAT, machineKeys, requireMachine, requireNetwork, SEED_DEVICE } from "./machines.ts";

/** Rejects instances that could not be created from any image. */
export async function check(engine: LxdEngine, plan: InstancePlan): Promise<void> {
  const managed = await findManaged(engine, plan.name);
  // The remains of a launch that died are removed by the next one.
  if (managed === undefined || !isUnfinished(managed)) {
    await requireFree(engine, plan.name);
  }
  await prepare(engine, plan);
}

/** Why its instances have no further disks. */
export const NO_DISKS = "its snapshots do not cover the volumes beside the root disk";

/**
 * The pool, network and member of a new instance. Rejects instances that could not be created under any name.
 */
async function prepare(
  engine: LxdEngine,
  { mounts, networks, extraDisks = [], ...plan }: Omit<InstancePlan, "name">,
) {
  if (extraDisks.length > 0) {
    throw failure("UNSUPPORTED", { what: "a further disk", engine: engine.flavour.title, reason: NO_DISKS });
  }
  for (const mount of mounts) {
    checkMount(engine, mount);
  }
  await requireMappable(engine, mounts);
  if (plan.member !== undefined) {
    await requireMember(engine, plan.member);
  }
  const member = mounts.length === 0 ? plan.member : await memberHere(engine, plan.member);
  const { pool, network } = await placement(engine);
  return { member, pool, interfaces: await nicDevices(engine, { network, nics: networks }) };
}

export async function create(engine: LxdEngine, spec: InstanceSpec, context: Context): Promise<Instance> {
  const { name, image, resources, mounts } = spec;
  context.signal.throwIfAborted();
  const machine = image.format === DISK_FORMAT;
  if (machine) {
    await requireMachine(engine, spec);
  } else {
    requireRoot(engine, image);
  }
  await clearUnfinished(engine, name, context);
  await requireFree(engine, name);
  const { member, pool, interfaces } = await prepare(engine, spec);
  if (machine) {
    requireNetwork(engine, interfaces);
  }
  const fingerprint = await importImage(engine, image, context);
  context.signal.throwIfAborted();
  context.progress({ phase: "Creating instance" });
  const uuid = randomUUID();
  const config: Config = {
    ...limitKeys(resources),
    ...seedKeys(spec.seed),
    ...(machine ? machineKeys(spec.seed) : {}),
    ...networkKeys(spec.networks),
    ...idMapKeys(mounts),
    ...ownKeys({ id: uuid, record: spec.record }),
    ...mountKeys(mounts),
    ...operationKeys({ kind: "create" }),
  };
  const devices: Devices = {
    [ROOT]: { type: "disk", path: "/", pool: pool.name, size: String(resources.disk) },
    ...interfaces,
    ...(machine ? SEED_DEVICE : {}),
    ...mountDevices(mounts),
  };
  const type = machine ? "virtual-machine" : "container";
  const body = { type, source: { type: "image", fingerprint }, config, devices };
  return make(engine, { name, uuid, body, member }, context);
}

function requireRoot({ flavour }: LxdEngine, { format }: ImageSource): void {
  if (format !== FORMAT) {
    throw failure("UNSUPPORTED", {
      what: `an image of the format ${format}`,
      engine: flavour.title,
      reason: "containers need the image of a root folder: strata image build debian --variant container",
    });
  }
}

/**
 * Lets LXD create an instance whose config says that it is being created; all or nothing. It is ours from the
 * beginning, because the lock is in its config.
 */
export async function make(
  engine: LxdEngine,
  what: {
    readonly name: string;
    readonly uuid: string;
    readonly body: {
      readonly type: string;
      readonly source: object;
      readonly config: Config;
      readonly devices: Devices;
    };
    /** Member of the cluster; undefined if there is no cluster, or LXD is to choose. */
    readonly member: string | undefined;
  },
  context: Context,
): Promise<Instance> {
  const { name, uuid: id, body, member } = what;
  const lease = await newLease();
  const lock = JSON.stringify(lease);
  const config = withoutEmpty({ ...body.config, [KEYS.lock]: lock });
  engine.leases.set(id, lock);
  engine.names.set(id, name);
  try {
    const request = { ...body, name, profiles: [], config };
    const options = { ...context, query: { target: member } };
    await whenRead(() => engine.client.run("POST", "/1.0/instances", request, options));
    // LXD cannot cancel this.
    context.signal.throwIfAborted();
    await writeConfig(engine, name, { ...operationKeys(null), [KEYS.lock]: "" });
    return toInstance(await getManaged(engine, id));
  } catch (error) {
    const made = await findManaged(engine, name).catch(() => undefined);
    try {
      if (made?.id === id) {
        await awaitOperations(engine, made);
        await removeInstance(engine, made);
      }
    } finally {
      // Remains that could not be removed are left to the next launch, even one of this process.
      await releaseLease(engine, id, lease);
    }
    if (isSaid(error, NAME_TAKEN) || isSaid(error, NAME_BEING_TAKEN)) {
      throw failure("INSTANCE_EXISTS", { name }, error);
    }
    throw error;
  } finally {
    engine.leases.delete(id);
  }
}

/** How often a request is repeated after a failure that is LXD's fault. */
const ATTEMPTS = 5;

/**
 * On a busy host, LXD 5.0 may read the output of qemu-img about a disk before it is there. It then removes
 * what it has created, so the request can be repeated.
 */
async function whenRead<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === ATTEMPTS || !isSaid(error, OUTPUT_MISREAD)) {
        throw error;
      }
    }
  }
}

/** LXD refuses empty values in the config of a new instance. */
function withoutEmpty(config: Config): Config {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== ""));
}

/** Rejects with INSTANCE_EXISTS if any instance has the name, including foreign ones. */
export async function requireFree({ client }: LxdEngine, name: string): Promise<void> {
  try {
    await client.get(instancePath(name), instanceShape);
  } catch (error) {
    if (isStatus(error, 404)) {
      return;
    }
    throw error;
  }
  throw failure("INSTANCE_EXISTS", { name });
}

/** cloud-init's data, in the place where its LXD datasource looks for it. */
export function seedKeys({ userData, vendorData }: Seed): Config {
  return { "cloud-init.user-data": userData, "cloud-init.vendor-data": vendorData };
}

/** True for the remains of a launch or removal that died. */
function isUnfinished({ operation }: Managed): boolean {
  return operation?.kind === "create" || operation?.kind === "purge";
}

/** Removes the remains of a launch or removal that died under the name, but not while one is in progress. */
export async function clearUnfinished(engine: LxdEngine, name: string, context: Context): Promise<void> {
  const managed = await findManaged(engine, name);
  if (managed === undefined || !isUnfinished(managed)) {
    return;
  }
  try {
    await using _lock = await lockInstance(engine, managed, { wait: 0 }, context);
  } catch (error) {
    const { code } = asStrataError(error);
    if (code !== "INSTANCE_NOT_FOUND" && code !== "BUSY") {
      throw error;
    }
  }
}
