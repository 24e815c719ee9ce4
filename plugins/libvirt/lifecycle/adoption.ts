import { dirname } from "node:path";
import type {
  Adoption,
  AdoptionOptions,
  Context,
  Instance,
  InstanceRecord,
} from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { failure } from "../../../lib/errors.ts";
import { toInstance } from "../domain/view.ts";
import {
  findDomain,
  findInstance,
  getLocked,
  getManaged,
  isNameFree,
  type LibvirtEngine,
  lockFolder,
  readManaged,
  writeMetadata,
} from "../engine.ts";
import { ENGINE, isLibvirt } from "../errors.ts";
import { clearJournal, writeJournal } from "../journal/journal.ts";
import { getReady } from "../journal/recover.ts";
import { collectLayers } from "../layers/collect.ts";
import { cancelRemoval } from "../layers/pending-removals.ts";
import { copyDefinition } from "../lock/instance-lock.ts";
import { leaseReader } from "../network/networks.ts";
import { DomainXmlFlags } from "../rpc/index.ts";
import { reconcile } from "../snapshots/reconcile.ts";
import { type DiskUsers, readDiskUsers } from "../storage/disk-users.ts";
import { makePrivateFolder } from "../storage/pool.ts";
import { ownLayers } from "../xml/disks.ts";
import { parse } from "../xml/document.ts";
import { examine } from "./adoptable.ts";
import { requireShutOff } from "./power.ts";
import { RELEASABLE, requireNoSnapshots, requireReleasable } from "./releasable.ts";
import { finishRelease } from "./release.ts";
import { instanceFolder } from "./removal.ts";

/**
 * Adopting a domain only adds strata's metadata to it. The first snapshot freezes its disk like a layer, and
 * the disk stays where it is. Releasing the domain removes the metadata again.
 */
export function adoptionGroup(engine: LibvirtEngine): Adoption {
  return {
    candidates: () => candidates(engine),
    adopt: (name, record, context, options) => adopt(engine, name, record, context, options),
    release: async (lock, context) => release(engine, lockedId(engine, lock), context),
  };
}

async function candidates(engine: LibvirtEngine) {
  const found: { name: string; obstacle: string | null }[] = [];
  let users: Promise<DiskUsers> | undefined;
  const readUsers = () => {
    users ??= readDiskUsers(engine.connection);
    return users;
  };
  for (const domain of await engine.connection.listDomains()) {
    try {
      const document = await parse(await domain.getXml(DomainXmlFlags.INACTIVE));
      if ((await readManaged(domain)) !== undefined) {
        continue;
      }
      const { obstacles = [] } = await examine(engine, domain, document, [], readUsers);
      found.push({ name: domain.name, obstacle: obstacles.length === 0 ? null : obstacles.join("; ") });
    } catch (error) {
      // It was removed after it was listed.
      if (!isLibvirt(error, "NO_DOMAIN")) {
        throw error;
      }
    }
  }
  return found;
}

async function adopt(
  engine: LibvirtEngine,
  name: string,
  record: InstanceRecord,
  { signal }: Context,
  { name: given, exclude = [] }: AdoptionOptions = {},
): Promise<Instance> {
  const domain = await findDomain(engine, name);
  if (domain === null) {
    throw failure("INSTANCE_NOT_FOUND", { name });
  }
  const [pool, host] = await Promise.all([engine.pool(), engine.host()]);
  const folder = instanceFolder(pool, domain.uuid);
  if ((await readManaged(domain)) !== undefined) {
    throw failure("INSTANCE_EXISTS", { name });
  }
  if (given !== undefined && given !== name && !(await isNameFree(engine, given))) {
    throw failure("INSTANCE_EXISTS", { name: given });
  }
  // Another domain may have been adopted under this name.
  if ((await findInstance(engine, given ?? name)) !== undefined) {
    throw failure("INSTANCE_EXISTS", { name: given ?? name });
  }
  const document = await parse(await domain.getXml(DomainXmlFlags.INACTIVE));
  const readUsers = () => readDiskUsers(engine.connection);
  const { obstacles, own } = await examine(engine, domain, document, exclude, readUsers);
  if (obstacles !== undefined) {
    throw failure("UNSUPPORTED", {
      what: `adopting "${name}"`,
      engine: ENGINE,
      reason: obstacles.join("; "),
    });
  }
  await makePrivateFolder(dirname(folder), host.qemuUser);
  await makePrivateFolder(folder, host.qemuUser);
  await using _lock = await lockFolder(folder, { name, wait: 0, signal });
  if ((await readManaged(domain)) !== undefined) {
    throw failure("INSTANCE_EXISTS", { name });
  }
  const metadata = {
    record,
    folder,
    mounts: [],
    ...(given === undefined || given === name ? {} : { name: given }),
    ...own,
  };
  await writeMetadata({ domain, name, document, metadata }, {});
  await copyDefinition(engine, domain.uuid, folder);
  return toInstance(await getManaged(engine, domain.uuid, given ?? name), leaseReader(engine));
}

async function release(engine: LibvirtEngine, id: string, context: Context): Promise<void> {
  const managed = await getReady(engine, id, context);
  const { name, metadata } = managed;
  const { adopted } = metadata;
  if (adopted === undefined) {
    throw failure("UNSUPPORTED", {
      what: `releasing "${name}"`,
      engine: ENGINE,
      reason: "strata created it, and its disk is in strata's pool; only adopted instances can be released",
    });
  }
  await requireNoSnapshots(managed);
  await requireShutOff(managed, RELEASABLE);
  await reconcile(managed);
  await collectLayers(engine, id, context);
  await requireReleasable(engine, managed, adopted);
  context.signal.throwIfAborted();
  context.progress({ phase: "Releasing" });
  const { folder } = metadata;
  await writeJournal(folder, { kind: "release" });
  await finishRelease(engine, await getLocked(engine, id)).catch(async (error: unknown) => {
    // Until the domain is defined on its own disk, it uses the overlay, which has all data.
    const active = ownLayers((await getLocked(engine, id)).document, folder);
    if (active.some((path) => path !== adopted)) {
      await cancelRemoval(folder, active);
      await clearJournal(folder);
    }
    throw error;
  });
}
