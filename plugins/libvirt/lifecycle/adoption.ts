import { constants } from "node:fs";
import { access, realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Adoption, Context, Instance, InstanceRecord } from "../../../lib/backend/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { toInstance } from "../domain/view.ts";
import {
  type Engine,
  findDomain,
  getHeld,
  getManaged,
  lockedId,
  lockFolder,
  type Managed,
  readManaged,
  writeMetadata,
} from "../engine.ts";
import { ENGINE, isLibvirt, mapped } from "../errors.ts";
import { clearJournal, writeJournal } from "../journal/journal.ts";
import { getReady } from "../journal/recover.ts";
import { collectLayers } from "../layers/collect.ts";
import { copyDefinition } from "../lock/instance-lock.ts";
import { leaseReader } from "../network/networks.ts";
import { readHeader } from "../qcow2/header.ts";
import { type Domain, DomainXmlFlags } from "../rpc/index.ts";
import { requireNoCheckpoints } from "../snapshots/checkpoints.ts";
import { type DiskUsers, readDiskUsers } from "../storage/disk-users.ts";
import { makePrivateFolder } from "../storage/pool.ts";
import { type Element, elements, find, parse } from "../xml/document.ts";
import { readDisk } from "../xml/domain.ts";
import { requireSettled } from "./power.ts";
import { finishRelease, requireOverlay } from "./release.ts";
import { instanceFolder } from "./removal.ts";

/**
 * Adopting a domain writes our metadata into it, and nothing else: its disk is frozen by the first
 * snapshot like a layer, and stays where it is. Releasing it takes the metadata away again.
 */
export function adoptionGroup(engine: Engine): Adoption {
  return {
    candidates: () => mapped(() => candidates(engine)),
    adopt: (name, record, context) => mapped(() => adopt(engine, name, record, context), { name }),
    release: (lock, context) => mapped(() => release(engine, lockedId(engine, lock), context)),
  };
}

async function candidates(engine: Engine) {
  const found: { name: string; obstacle: string | null }[] = [];
  let users: Promise<DiskUsers> | undefined;
  const readUsers = () => {
    users ??= readDiskUsers(engine.connection);
    return users;
  };
  for (const domain of await engine.connection.listDomains())
    try {
      const document = await parse(await domain.getXml(DomainXmlFlags.INACTIVE));
      if ((await readManaged(domain)) !== undefined) continue;
      const { obstacle } = await examine(engine, domain, document, readUsers);
      found.push({ name: domain.name, obstacle: obstacle ?? null });
    } catch (error) {
      // Gone since it was listed.
      if (!isLibvirt(error, "NO_DOMAIN")) throw error;
    }
  return found;
}

type Finding =
  | { readonly obstacle: string; readonly own?: never }
  | { readonly obstacle?: never; readonly own: { readonly adopted: string; readonly target: string } };

/** The one disk that snapshots would be of, or why strata cannot do its work on the domain. */
async function examine(
  engine: Engine,
  domain: Domain,
  document: Element,
  readUsers: () => Promise<DiskUsers>,
): Promise<Finding> {
  if (!(await domain.isPersistent()))
    return { obstacle: "it is transient: nothing of it stays when it stops" };
  if ((await domain.snapshotCount()) > 0)
    return { obstacle: "it has snapshots that strata did not take; delete them with virsh first" };
  const disks = elements(find(document, "devices"), "disk").filter(
    (disk) => (disk.attributes.device ?? "disk") === "disk" && find(disk, "readonly") === undefined,
  );
  const [disk, ...others] = disks;
  if (disk === undefined) return { obstacle: "it has no disk that it writes" };
  const target = find(disk, "target")?.attributes.dev ?? "";
  if (others.length > 0)
    return { obstacle: `it writes ${disks.length} disks, and a snapshot would be of one of them` };
  const reason = await diskObstacle(engine, disk);
  if (reason !== undefined) return { obstacle: `its disk ${target} ${reason}` };
  const adopted = find(disk, "source")?.attributes.file ?? "";
  const users = await readUsers();
  const other = (await users(adopted)).find(({ uuid }) => uuid !== domain.uuid);
  if (other !== undefined)
    return {
      obstacle: `its disk ${target} is used by the domain ${other.name} too, which could write into what snapshots keep; give that one a disk of its own`,
    };
  return { own: { adopted, target } };
}

async function diskObstacle(engine: Engine, disk: Element): Promise<string | undefined> {
  const file = find(disk, "source")?.attributes.file;
  if (disk.attributes.type !== "file" || file === undefined)
    return `is no file but of the type ${disk.attributes.type}`;
  const format = find(disk, "driver")?.attributes.type ?? "raw";
  if (format !== "qcow2")
    return `is ${format}, and layers are qcow2: qemu-img convert -O qcow2 ${file} NEW, then virsh edit`;
  for (const name of ["shareable", "transient", "encryption"])
    if (find(disk, name) !== undefined || find(disk, "source", name) !== undefined) return `is ${name}`;
  const pool = await engine.pool();
  try {
    const [real, ours] = await Promise.all([realpath(file), realpath(pool)]);
    if (real.startsWith(`${ours}/`)) return "is in strata's own pool";
    // The header of the first layer names the disk, and must do so as the definition does.
    if (resolve(file) !== file) return `has a roundabout path, ${file}: virsh edit, and write ${real}`;
    const { backing, encrypted } = await readHeader(file);
    if (encrypted) return "is encrypted";
    return backing === null
      ? undefined
      : `stands on another file, ${backing}, that strata cannot watch over: qemu-img rebase -b "" ${file}`;
  } catch (error) {
    return `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function adopt(
  engine: Engine,
  name: string,
  record: InstanceRecord,
  { signal }: Context,
): Promise<Instance> {
  const domain = await findDomain(engine, name);
  if (domain === null) throw failure("INSTANCE_NOT_FOUND", { name });
  const [pool, host] = await Promise.all([engine.pool(), engine.host()]);
  const folder = instanceFolder(pool, domain.uuid);
  if ((await readManaged(domain)) !== undefined) throw failure("INSTANCE_EXISTS", { name });
  const document = await parse(await domain.getXml(DomainXmlFlags.INACTIVE));
  const { obstacle, own } = await examine(engine, domain, document, () => readDiskUsers(engine.connection));
  if (obstacle !== undefined)
    throw failure("UNSUPPORTED", { what: `adopting "${name}"`, engine: ENGINE, reason: obstacle });
  await makePrivateFolder(dirname(folder), host.qemuUser);
  await makePrivateFolder(folder, host.qemuUser);
  await using _lock = await lockFolder(folder, { name, wait: 0, signal });
  if ((await readManaged(domain)) !== undefined) throw failure("INSTANCE_EXISTS", { name });
  const metadata = { record, folder, mounts: [], ...own };
  await writeMetadata({ domain, name, document, metadata }, {});
  await copyDefinition(engine, domain.uuid, folder);
  return toInstance(await getManaged(engine, domain.uuid, name), leaseReader(engine));
}

async function release(engine: Engine, id: string, context: Context): Promise<void> {
  const managed = await getReady(engine, id, context);
  const { name, metadata } = managed;
  const { adopted } = metadata;
  if (adopted === undefined)
    throw failure("UNSUPPORTED", {
      what: `releasing "${name}"`,
      engine: ENGINE,
      reason: "strata made it, and its disk is in strata's pool; only what was adopted can be released",
    });
  const reason = "Only stopped instances without snapshots can be released";
  const count = await managed.domain.snapshotCount();
  if (count > 0) throw failure("HAS_SNAPSHOTS", { name, reason, count: `${count} of them` });
  await requireSettled(managed, reason);
  await collectLayers(engine, id, context);
  await requireUnshared(engine, managed, adopted);
  await requireCommittable(managed, adopted);
  context.signal.throwIfAborted();
  context.progress({ phase: "Releasing" });
  const { folder } = metadata;
  await writeJournal(folder, { kind: "release" });
  await finishRelease(engine, await getHeld(engine, id)).catch(async (error: unknown) => {
    // Until the domain is defined on its own disk it uses the overlay, which has everything.
    const now = await getHeld(engine, id);
    if (readDisk(now.document) !== adopted) await clearJournal(folder);
    throw error;
  });
}

/** What would keep the overlay from being written into its own disk is looked for before anything is noted. */
async function requireCommittable({ name, domain, document }: Managed, own: string): Promise<void> {
  await requireNoCheckpoints({ name, domain });
  if (readDisk(document) === own) return;
  await access(own, constants.R_OK | constants.W_OK).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw failure(
      "WRONG_STATE",
      { name, reason: `Its own disk cannot be written (${reason})`, state: "not releasable" },
      error,
    );
  });
  const { inside, encrypted } = await readHeader(own);
  if (inside > 0)
    throw failure("HAS_SNAPSHOTS", {
      name,
      reason: "Its own disk cannot be written without changing them",
      count: `${inside} of QEMU's own in ${own}`,
    });
  if (encrypted)
    throw failure("UNSUPPORTED", {
      what: `releasing "${name}"`,
      engine: ENGINE,
      reason: `its own disk ${own} is encrypted, and strata has no key to write it`,
    });
}

/** Writing into its own disk must change nothing for anybody else. */
async function requireUnshared(engine: Engine, managed: Managed, own: string): Promise<void> {
  const head = readDisk(managed.document);
  if (head === own) return;
  await requireOverlay(managed, head, own);
  const users = await readDiskUsers(engine.connection);
  const other = (await users(own)).find(({ uuid }) => uuid !== managed.domain.uuid);
  if (other !== undefined)
    throw failure("WRONG_STATE", {
      name: managed.name,
      reason: `Its disk ${own} would change under the domain ${other.name}, which stands on it`,
      state: "not alone on it",
    });
}
