import { realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type {
  Adoption,
  AdoptionOptions,
  Context,
  Instance,
  InstanceRecord,
} from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { failure, reasonOf } from "../../../lib/errors.ts";
import { quote } from "../../../lib/util/quote.ts";
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
import { firmwareObstacle } from "../firmware/obstacle.ts";
import { clearJournal, writeJournal } from "../journal/journal.ts";
import { getReady } from "../journal/recover.ts";
import { collectLayers } from "../layers/collect.ts";
import { cancelRemoval } from "../layers/pending-removals.ts";
import { copyDefinition } from "../lock/instance-lock.ts";
import { leaseReader } from "../network/networks.ts";
import { readHeader } from "../qcow2/header.ts";
import { type Domain, DomainXmlFlags } from "../rpc/index.ts";
import { reconcile } from "../snapshots/reconcile.ts";
import { type DiskUsers, readDiskUsers } from "../storage/disk-users.ts";
import { makePrivateFolder } from "../storage/pool.ts";
import { ownLayers } from "../xml/disks.ts";
import { type Element, elements, find, parse } from "../xml/document.ts";
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
      const { obstacle } = await examine(engine, domain, document, readUsers);
      found.push({ name: domain.name, obstacle: obstacle ?? null });
    } catch (error) {
      // It was removed after it was listed.
      if (!isLibvirt(error, "NO_DOMAIN")) {
        throw error;
      }
    }
  }
  return found;
}

type Finding =
  | { readonly obstacle: string; readonly own?: never }
  | { readonly obstacle?: never; readonly own: { readonly adopted: string; readonly target: string } };

/** The disk that snapshots would be taken of, or the reason why strata cannot manage the domain. */
async function examine(
  engine: LibvirtEngine,
  domain: Domain,
  document: Element,
  readUsers: () => Promise<DiskUsers>,
): Promise<Finding> {
  if (!(await domain.isPersistent())) {
    return { obstacle: "it must be persistent; it is transient and disappears when it stops" };
  }
  if ((await domain.snapshotCount()) > 0) {
    return { obstacle: "it has snapshots that strata did not take; delete them with virsh first" };
  }
  const disks = elements(find(document, "devices"), "disk").filter(
    (disk) => (disk.attributes.device ?? "disk") === "disk" && find(disk, "readonly") === undefined,
  );
  const [disk, ...others] = disks;
  if (disk === undefined) {
    return { obstacle: "it must have one writable disk, and has none" };
  }
  const target = find(disk, "target")?.attributes.dev ?? "";
  if (others.length > 0) {
    return { obstacle: `it must have one writable disk, and has ${disks.length}` };
  }
  const reason = await diskObstacle(engine, disk);
  if (reason !== undefined) {
    return { obstacle: `its disk ${target} ${reason}` };
  }
  const adopted = find(disk, "source")?.attributes.file ?? "";
  const users = await readUsers();
  const other = (await users(adopted)).find(({ uuid }) => uuid !== domain.uuid);
  if (other !== undefined) {
    return {
      obstacle: `its disk ${target} is also used by the domain ${other.name}, which could overwrite what snapshots keep; give that domain its own disk`,
    };
  }
  const firmware = await firmwareObstacle(engine, document, domain.uuid);
  return firmware === undefined ? { own: { adopted, target } } : { obstacle: firmware };
}

async function diskObstacle(engine: LibvirtEngine, disk: Element): Promise<string | undefined> {
  const file = find(disk, "source")?.attributes.file;
  if (disk.attributes.type !== "file" || file === undefined) {
    return `must be a file, and has the type ${disk.attributes.type}`;
  }
  const format = find(disk, "driver")?.attributes.type ?? "raw";
  if (format !== "qcow2") {
    // Without its format QEMU believes the first bytes, which the guest wrote.
    return `must be qcow2, and is ${format}: \`qemu-img convert -f ${format} -O qcow2 ${quote(file)} NEW\`, then virsh edit`;
  }
  for (const name of ["shareable", "transient", "encryption"]) {
    if (find(disk, name) !== undefined || find(disk, "source", name) !== undefined) {
      return `is ${name}`;
    }
  }
  const pool = await engine.pool();
  try {
    const [real, ours] = await Promise.all([realpath(file), realpath(pool)]);
    if (real.startsWith(`${ours}/`)) {
      return "is in strata's own pool";
    }
    // The first layer's header will name the disk, and must do so with the same path as the definition.
    if (resolve(file) !== file) {
      return `must be named by its plain path, ${real}, and not ${file}: change it with virsh edit`;
    }
    const { backing, encrypted } = await readHeader(file);
    if (encrypted) {
      return "is encrypted";
    }
    return backing === null
      ? undefined
      : `stands on another file, ${backing}, which strata does not track: \`qemu-img rebase -f qcow2 -b "" ${quote(file)}\``;
  } catch (error) {
    return `cannot be read: ${reasonOf(error)}`;
  }
}

async function adopt(
  engine: LibvirtEngine,
  name: string,
  record: InstanceRecord,
  { signal }: Context,
  { name: given }: AdoptionOptions = {},
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
  const { obstacle, own } = await examine(engine, domain, document, () => readDiskUsers(engine.connection));
  if (obstacle !== undefined) {
    throw failure("UNSUPPORTED", { what: `adopting "${name}"`, engine: ENGINE, reason: obstacle });
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
