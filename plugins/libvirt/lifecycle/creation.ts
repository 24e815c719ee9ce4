import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { Context, Instance, InstancePlan, InstanceSpec } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { CONSOLE_LOG } from "../console/log-file.ts";
import { toInstance } from "../domain/view.ts";
import {
  findDomain,
  findInstance,
  getManaged,
  isNameFree,
  type LibvirtEngine,
  lockFolder,
  writeMetadata,
} from "../engine.ts";
import { isSaid } from "../errors.ts";
import { ownVariables } from "../firmware/places.ts";
import { requireFirmware } from "../firmware/support.ts";
import { newLayerPath } from "../layers/names.ts";
import { awaitReceived } from "../lock/await-inflight.ts";
import { clearUnfinished, copyDefinition, isUnfinished } from "../lock/instance-lock.ts";
import { DOMAIN_NAME_TAKEN } from "../messages.ts";
import { putMounts, requireServable } from "../mounts/servable.ts";
import { requireNetworks } from "../network/interfaces.ts";
import { ensureNetwork, leaseReader, newConnection, newMac } from "../network/networks.ts";
import { createImage, createOverlay } from "../qcow2/overlay.ts";
import { ConnectionLostError, type Domain } from "../rpc/index.ts";
import { CDROM, checkSpaceFor, copyCdrom, exists, importBase, makePrivateFolder } from "../storage/pool.ts";
import { writeSeed } from "../storage/seed.ts";
import { type Element, serialize } from "../xml/document.ts";
import { domainDocument, newMachine } from "../xml/domain.ts";
import { putFirmware } from "../xml/firmware.ts";
import { requireAttainable } from "./limits.ts";
import { instanceFolder, lockPool, removeFiles, removeInstance } from "./removal.ts";

/** Rejects a plan that cannot be created, as far as that is known without its image. */
export async function check(engine: LibvirtEngine, plan: InstancePlan): Promise<void> {
  const { name, mounts, resources } = plan;
  await requireFree(engine, name);
  await requireServable(engine, name, mounts);
  await requireFirmware(engine, plan.firmware);
  await requireAttainable(engine, newMachine(await engine.host()), resources);
}

/** Rejects with INSTANCE_EXISTS for a name that `establish` could not give. */
export async function requireFree(engine: LibvirtEngine, name: string): Promise<void> {
  const managed = await findInstance(engine, name);
  // What an interrupted launch or removal has left is removed by the next launch.
  const free =
    managed === undefined ? (await findDomain(engine, name)) === null : isUnfinished(managed.metadata);
  if (!free) {
    throw failure("INSTANCE_EXISTS", { name });
  }
}

/** Creates a new instance; all or nothing. */
export async function create(engine: LibvirtEngine, spec: InstanceSpec, context: Context): Promise<Instance> {
  const { name, image, record, resources, mounts, cdrom, firmware } = spec;
  await check(engine, spec);
  await requireNetworks(engine, spec.networks);
  const [pool, host] = await Promise.all([engine.pool(), engine.host()]);
  const network = await newConnection(engine);
  await checkSpaceFor(pool, image, cdrom);
  if (network.kind === "network") {
    await ensureNetwork(engine, network.name);
  }
  const mac = newMac();
  const nics = spec.networks.map(({ mac = newMac(), mode = "auto", ...nic }) => ({ ...nic, mac, mode }));
  const sizes = spec.extraDisks ?? [];
  const extra: string[] = [];
  return establish(engine, name, context, {
    async document({ uuid, folder, disk, seed, consoleLog }) {
      extra.push(...sizes.map(() => newLayerPath(folder)));
      const document = domainDocument({
        name,
        uuid,
        metadata: {
          record,
          folder,
          mounts,
          ...(network.kind === "user" ? { sshPort: network.port } : {}),
          operation: { kind: "create" },
        },
        resources,
        disk,
        seed,
        extraDisks: extra,
        ...(cdrom === undefined ? {} : { cdrom: join(folder, CDROM) }),
        consoleLog,
        mac,
        accelerator: host.accelerator,
        arch: host.arch,
        network,
        nics,
      });
      if (firmware !== undefined) {
        putFirmware(document, firmware, ownVariables(folder));
      }
      await putMounts(engine, document, { folder, mounts });
      return document;
    },
    async fill({ folder, disk }) {
      const user = host.qemuUser;
      await makeDisk({ pool, disk, image, size: resources.disk, user, context });
      for (const [at, size] of sizes.entries()) {
        await createImage(extra[at] ?? "", size);
      }
      if (cdrom !== undefined) {
        await copyCdrom(cdrom, folder);
      }
      await writeSeed(folder, spec.seed, [{ mac, mode: "auto" }, ...nics], context.signal);
    },
  });
}

/** A new instance: its id, its folder, and three of its files. */
export interface Place {
  readonly uuid: string;
  readonly folder: string;
  readonly disk: string;
  readonly seed: string;
  readonly consoleLog: string;
}

/**
 * Creates an instance: locks a new folder, defines the domain of `document`, whose metadata has the operation
 * `create`, lets `fill` create the files, and removes the operation. All or nothing.
 */
export async function establish(
  engine: LibvirtEngine,
  name: string,
  context: Context,
  make: {
    /** For a machine that has one; there must be no domain and no folder of it. */
    readonly uuid?: string;
    document(place: Place): Promise<Element>;
    fill(place: Place): Promise<void>;
  },
): Promise<Instance> {
  const [pool, host] = await Promise.all([engine.pool(), engine.host()]);
  await clearUnfinished(engine, name, context);
  if (!(await isNameFree(engine, name))) {
    throw failure("INSTANCE_EXISTS", { name });
  }
  const { uuid = randomUUID() } = make;
  const folder = instanceFolder(pool, uuid);
  await makePrivateFolder(join(pool, "instances"), host.qemuUser);
  await using lock = await openFolder(engine, folder, name, context);
  engine.lockStates.set(uuid, { lock, changed: false });
  try {
    const place = {
      uuid,
      folder,
      disk: newLayerPath(folder),
      seed: join(folder, "seed.iso"),
      consoleLog: join(folder, CONSOLE_LOG),
    };
    const domain = await defineNew(engine, name, () => make.document(place), place);
    try {
      await make.fill(place);
      const managed = await getManaged(engine, domain.uuid);
      const made = await writeMetadata(managed, { operation: null });
      await copyDefinition(engine, uuid, folder);
      return await toInstance(made, leaseReader(engine));
    } catch (error) {
      await removeInstance(engine, await getManaged(engine, uuid));
      throw error;
    }
  } finally {
    engine.lockStates.delete(uuid);
  }
}

/** Creates and locks the folder of a new instance, so that no audit sees it without its lock. */
async function openFolder(engine: LibvirtEngine, folder: string, name: string, { signal }: Context) {
  const [pool, host] = await Promise.all([engine.pool(), engine.host()]);
  await using _lock = await lockPool(pool);
  if (await exists(folder)) {
    throw failure("IDENTITY_TAKEN", { name, reason: `${folder} exists` });
  }
  try {
    await makePrivateFolder(folder, host.qemuUser);
    return await lockFolder(folder, { name, wait: 0, signal });
  } catch (error) {
    await removeFiles(engine, folder);
    throw error;
  }
}

async function defineNew(
  engine: LibvirtEngine,
  name: string,
  document: () => Promise<Element>,
  { uuid, folder }: Pick<Place, "uuid" | "folder">,
): Promise<Domain> {
  try {
    return await engine.connection.defineDomain(serialize(await document()));
  } catch (error) {
    // Without a connection, nothing can be checked. The next command that locks the instance finds the
    // operation.
    if (error instanceof ConnectionLostError) {
      await undefineAfterLoss(engine, uuid).catch(() => {});
    }
    await removeFiles(engine, folder);
    throw isSaid(error, DOMAIN_NAME_TAKEN) ? failure("INSTANCE_EXISTS", { name }, error) : error;
  }
}

/** The daemon may still carry out a call whose connection was lost. */
async function undefineAfterLoss(engine: LibvirtEngine, uuid: string): Promise<void> {
  await awaitReceived(engine);
  await engine.connection.domainOfUuid(uuid).undefine();
}

async function makeDisk(o: {
  pool: string;
  disk: string;
  image: InstanceSpec["image"];
  size: bigint;
  user: { readonly gid: number } | null;
  context: Context;
}): Promise<void> {
  o.context.progress({ phase: "Preparing disk" });
  // Locked until the layer refers to the base image, so that no purge removes it as unused.
  await using _lock = await lockPool(o.pool);
  const base = await importBase(o.pool, o.image, o.user);
  await createOverlay(o.disk, base, { size: o.size });
}
