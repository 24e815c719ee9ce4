import { randomBytes, randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type {
  Context,
  Hold,
  Instance,
  InstanceRecord,
  InstanceSpec,
  Instances,
  Resources,
} from "../../lib/backend/contract.ts";
import { failure, isStrataError } from "../../lib/errors.ts";
import {
  changedMetadata,
  type Engine,
  getHeld,
  getManaged,
  lockInstance,
  type Managed,
  readManaged,
  runOptions,
  writeMetadata,
} from "./engine.ts";
import { isLibvirt, mapped } from "./errors.ts";
import { newLayerPath } from "./layers.ts";
import { ensureNetwork, freePort, leaseReader } from "./networks.ts";
import { checkSpace, importBase, makePrivateFolder } from "./pool.ts";
import { readHeader } from "./qcow2-header.ts";
import { createOverlay, growImage } from "./qemu-img.ts";
import { collectLayers, finish, getReady } from "./recovery.ts";
import { instanceFolder, lockPool, removeFiles, removeInstance } from "./removal.ts";
import { type Domain, DomainState } from "./rpc/index.ts";
import { writeSeed } from "./seed.ts";
import { toInstance } from "./view.ts";
import { serialize } from "./xml/document.ts";
import { domainDocument, readDisk, setForwardedPort, setResources } from "./xml/domain.ts";
import { putMetadata } from "./xml/metadata.ts";

/** How often a guest is asked whether it has stopped, ms. */
const POLL = 250;
/** How often a guest that goes on is asked to shut down again: one in early boot does not listen yet. */
const ASK_AGAIN = 10_000;

export function instanceGroup(engine: Engine): Instances {
  return {
    list: () => mapped(() => list(engine)),
    find: (name) => mapped(() => findByName(engine, name)),
    hold: (id, options, context) => mapped(() => hold(engine, id, options, context), { name: id }),
    create: (spec, context) => mapped(() => create(engine, spec, context)),
    start: (id, context) => mapped(() => start(engine, id, context)),
    stop: (id, options, context) => mapped(() => stop(engine, id, options, context)),
    suspend: (id, context) => mapped(() => suspend(engine, id, context)),
    resize: (id, change, context) => mapped(() => resize(engine, id, change, context)),
    annotate: (id, change) => mapped(() => annotate(engine, id, change)),
    remove: (id) => mapped(async () => removeInstance(engine, await getHeld(engine, id))),
  };
}

async function list(engine: Engine): Promise<Instance[]> {
  const leases = leaseReader(engine);
  const domains = await engine.connection.listDomains();
  const found = await Promise.all(
    domains.map(async (domain) => {
      try {
        const managed = await readManaged(domain);
        return managed === undefined ? undefined : await toInstance(managed, leases);
      } catch (error) {
        if (isLibvirt(error, "NO_DOMAIN")) return undefined;
        if (!isStrataError(error)) throw error;
        engine.log.warn(`${domain.name} is left out of the list: ${error.message}`);
        return undefined;
      }
    }),
  );
  return found.filter((instance) => instance !== undefined);
}

async function findByName(engine: Engine, name: string): Promise<Instance | null> {
  const domain = await lookup(engine, name);
  const managed = domain === null ? undefined : await readManaged(domain);
  return managed === undefined ? null : toInstance(managed, leaseReader(engine));
}

async function lookup(engine: Engine, name: string): Promise<Domain | null> {
  try {
    return await engine.connection.lookupDomainByName(name);
  } catch (error) {
    if (isLibvirt(error, "NO_DOMAIN")) return null;
    throw error;
  }
}

async function hold(
  engine: Engine,
  id: string,
  { wait }: { readonly wait: number },
  { signal }: Context,
): Promise<Hold> {
  const { name, metadata } = await getManaged(engine, id);
  // A removal that died has taken the folder and left the domain: there must be something to lock.
  if (isUnfinished(metadata)) await mkdir(metadata.folder, { recursive: true, mode: 0o710 });
  const lock = await lockInstance(metadata.folder, { name, wait, signal });
  const release = async () => {
    engine.holds.delete(id);
    await lock[Symbol.asyncDispose]();
  };
  engine.holds.set(id, lock);
  try {
    await finish(engine, id, { signal });
    await getManaged(engine, id, name);
  } catch (error) {
    await release();
    throw error;
  }
  return { id, [Symbol.asyncDispose]: release };
}

async function create(engine: Engine, spec: InstanceSpec, context: Context): Promise<Instance> {
  const { name, image, record, resources } = spec;
  if (spec.mounts.length > 0)
    throw failure("UNSUPPORTED", { what: "a mount", engine: "libvirt", reason: "this version has none" });
  if (spec.networks.length > 0)
    throw failure("UNSUPPORTED", {
      what: "a further network",
      engine: "libvirt",
      reason: "this version has none",
    });
  const [pool, host] = await Promise.all([engine.pool(), engine.host()]);
  await clearUnfinished(engine, name, context);
  if ((await lookup(engine, name)) !== null) throw failure("INSTANCE_EXISTS", { name });
  const network = engine.session
    ? ({ kind: "user", port: await freePort() } as const)
    : ({ kind: "network", name: engine.settings.network || "default" } as const);
  if (network.kind === "network") await ensureNetwork(engine, network.name);
  const uuid = randomUUID();
  const folder = instanceFolder(pool, uuid);
  await makePrivateFolder(join(pool, "instances"), host.qemuUser);
  await makePrivateFolder(folder, host.qemuUser);
  await using lock = await lockInstance(folder, { name, wait: 0, signal: context.signal });
  engine.holds.set(uuid, lock);
  try {
    const disk = newLayerPath(folder);
    const document = domainDocument({
      name,
      uuid,
      metadata: {
        record,
        folder,
        ...(network.kind === "user" ? { sshPort: network.port } : {}),
        operation: { kind: "create" },
      },
      resources,
      disk,
      seed: join(folder, "seed.iso"),
      mac: newMac(),
      accelerator: host.accelerator,
      arch: host.arch,
      network,
    });
    const domain = await defineNew(engine, name, serialize(document), folder);
    try {
      await makeDisk(engine, uuid, { pool, disk, image, size: resources.disk, user: host.qemuUser, context });
      await writeSeed(folder, spec.seed, context.signal);
      const managed = await getManaged(engine, domain.uuid);
      return await toInstance(await writeMetadata(managed, { operation: null }), leaseReader(engine));
    } catch (error) {
      await removeInstance(engine, await getManaged(engine, uuid));
      throw error;
    }
  } finally {
    engine.holds.delete(uuid);
  }
}

/** True for what a launch or a removal that died has left of an instance. */
function isUnfinished({ operation }: Managed["metadata"]): boolean {
  return operation?.kind === "create" || operation?.kind === "purge";
}

/** Takes away what a launch or a removal that died has left under the name; not while one is at work. */
async function clearUnfinished(engine: Engine, name: string, context: Context): Promise<void> {
  const domain = await lookup(engine, name);
  const managed = domain === null ? undefined : await readManaged(domain);
  if (managed === undefined || !isUnfinished(managed.metadata)) return;
  const { uuid } = managed.domain;
  await using _hold = await hold(engine, uuid, { wait: 0 }, context).catch((error: unknown) => {
    if (isStrataError(error) && (error.code === "INSTANCE_NOT_FOUND" || error.code === "BUSY")) return null;
    throw error;
  });
}

async function defineNew(engine: Engine, name: string, xml: string, folder: string): Promise<Domain> {
  try {
    return await engine.connection.defineDomain(xml);
  } catch (error) {
    await removeFiles(engine, folder);
    const taken = error instanceof Error && /already exists with uuid/.test(error.message);
    throw taken ? failure("INSTANCE_EXISTS", { name }, error) : error;
  }
}

async function makeDisk(
  engine: Engine,
  id: string,
  o: {
    pool: string;
    disk: string;
    image: InstanceSpec["image"];
    size: bigint;
    user: { readonly gid: number } | null;
    context: Context;
  },
): Promise<void> {
  o.context.progress({ phase: "Preparing disk" });
  // Locked until the layer refers to the base image, so that no purge takes it for unused.
  await using _lock = await lockPool(o.pool);
  const base = await importBase(o.pool, o.image, o.user);
  await createOverlay(o.disk, base, o.size, runOptions(engine, id, o.context));
}

/** A MAC address in QEMU's range. */
function newMac(): string {
  return ["52", "54", "00", ...(randomBytes(3).toString("hex").match(/../g) ?? [])].join(":");
}

async function isSaved(managed: Managed): Promise<boolean> {
  return !(await managed.domain.isActive()) && (await managed.domain.hasManagedSaveImage());
}

async function start(engine: Engine, id: string, context: Context): Promise<void> {
  const managed = await getReady(engine, id, context);
  const { domain, document } = managed;
  const { state } = await domain.getState();
  if (state === DomainState.PAUSED || state === DomainState.PMSUSPENDED) return domain.resume();
  if (state !== DomainState.SHUTOFF && state !== DomainState.CRASHED) return;
  context.progress({ phase: "Starting" });
  if (!engine.session) await ensureNetwork(engine, engine.settings.network || "default");
  if (managed.metadata.sshPort !== undefined && !(await isSaved(managed))) {
    const sshPort = await freePort();
    setForwardedPort(document, sshPort);
    putMetadata(document, changedMetadata(managed.metadata, { sshPort }));
    await engine.connection.defineDomain(serialize(document));
  }
  await domain.create();
}

async function stop(
  engine: Engine,
  id: string,
  options: { readonly grace: number } | "force",
  context: Context,
): Promise<void> {
  const managed = await getHeld(engine, id);
  const { domain, name } = managed;
  if (await isSaved(managed)) {
    if (options !== "force")
      throw failure("INSTANCE_SUSPENDED", { name, reason: "A suspended instance cannot be shut down" });
    return domain.managedSaveRemove();
  }
  if (await domain.isActive()) {
    context.progress({ phase: "Stopping" });
    if (options === "force") await tolerate(domain.destroy());
    else await shutDown(name, domain, options.grace, context.signal);
  }
  // What was deleted while it ran can be merged now.
  await getReady(engine, id, context);
  await collectLayers(engine, id, context);
}

/** The domain has stopped meanwhile: what was asked for is so. */
async function tolerate(work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!isLibvirt(error, "OPERATION_INVALID")) throw error;
  });
}

async function shutDown(name: string, domain: Domain, grace: number, signal: AbortSignal): Promise<void> {
  const begin = Date.now();
  let asked = Number.NEGATIVE_INFINITY;
  while (await domain.isActive()) {
    const now = Date.now();
    if (now - begin > grace)
      throw failure("TIMEOUT", {
        seconds: Math.round(grace / 1000),
        what: `"${name}" did not shut down; \`strata stop --force ${name}\` cuts its power`,
      });
    if (now - asked > ASK_AGAIN) {
      await tolerate(domain.shutdown());
      asked = now;
    }
    await delay(POLL, undefined, { signal });
  }
}

async function suspend(engine: Engine, id: string, context: Context): Promise<void> {
  const managed = await getReady(engine, id, context);
  if (await isSaved(managed)) return;
  if (!(await managed.domain.isActive()))
    throw failure("WRONG_STATE", {
      name: managed.name,
      reason: "Only running instances can be suspended",
      state: "Stopped",
    });
  context.progress({ phase: "Suspending" });
  await managed.domain.managedSave();
}

async function resize(
  engine: Engine,
  id: string,
  change: Partial<Resources>,
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id, context);
  const { domain, name, document } = managed;
  const reason = "Only stopped instances can be resized";
  if (await isSaved(managed)) throw failure("INSTANCE_SUSPENDED", { name, reason });
  if (await domain.isActive()) throw failure("WRONG_STATE", { name, reason, state: "Running" });
  const head = readDisk(document);
  const { virtualSize } = await readHeader(head);
  const { disk } = change;
  if (disk !== undefined && disk < virtualSize)
    throw failure("DISK_SHRINK", { name, current: virtualSize, wanted: disk });
  const grows = disk !== undefined && disk > virtualSize;
  if (grows) await checkSpace(managed.metadata.folder);
  const { cpus, memory } = change;
  const before = serialize(document);
  setResources(document, {
    ...(cpus === undefined ? {} : { cpus }),
    ...(memory === undefined ? {} : { memory }),
  });
  const metadata = changedMetadata(
    managed.metadata,
    grows ? { operation: { kind: "resize", disk: String(disk) } } : {},
  );
  putMetadata(document, metadata);
  await engine.connection.defineDomain(serialize(document));
  if (!grows) return;
  try {
    await growImage(head, disk, runOptions(engine, id, context));
  } catch (error) {
    // All or none: the definition as it was, without the note that would have the next hold grow the disk.
    await engine.connection.defineDomain(before);
    throw error;
  }
  await writeMetadata({ ...managed, metadata }, { operation: null });
}

async function annotate(engine: Engine, id: string, change: Partial<InstanceRecord>): Promise<void> {
  await writeMetadata(await getHeld(engine, id), { record: change });
}
