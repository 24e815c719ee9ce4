import { chmod, rename, rm, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { AuditOptions, Context, Finding, Maintenance } from "../../../lib/engine/contract.ts";
import { failure, isStrataError } from "../../../lib/errors.ts";
import {
  getLocked,
  type LibvirtEngine,
  lockFolder,
  type Managed,
  readManaged,
  writeMetadata,
} from "../engine.ts";
import { isLibvirt, mapped } from "../errors.ts";
import { JOURNAL, setJournalAside, writeAside } from "../journal/journal.ts";
import { getReady } from "../journal/recover.ts";
import { collectLayers } from "../layers/collect.ts";
import {
  activateLayer,
  correctParents,
  giveUpLayer,
  giveUpRecord,
  recordLayer,
  recordLost,
} from "../layers/orphans.ts";
import { recoverFolder } from "../lifecycle/recover-folder.ts";
import { instanceFolder, lockPool, removeFiles } from "../lifecycle/removal.ts";
import { lockInstance } from "../lock/instance-lock.ts";
import { lockFile } from "../lock/lock.ts";
import { listCopies } from "../snapshots/record-copies.ts";
import { correctRecords, setCurrentSnapshot } from "../snapshots/records.ts";
import { exists } from "../storage/pool.ts";
import { findInInstance } from "./instance.ts";
import { checkContents } from "./layer-health.ts";
import { isLayerRepair, repairLayer as repairDamage } from "./layer-repairs.ts";
import { findInPool, findUnlocked, type Owner } from "./pool.ts";
import { findUnreachable, openFolder } from "./reach.ts";

export function maintenanceGroup(engine: LibvirtEngine): Maintenance {
  return {
    audit: (options, context) => mapped(() => audit(engine, options, context)),
    repair: (finding, context, choice) =>
      mapped(
        () => repair(engine, finding, context, choice),
        finding.instance === undefined ? {} : { name: finding.instance },
      ),
    recover: (folder, context) => mapped(() => recoverFolder(engine, folder, context)),
  };
}

async function audit(
  engine: LibvirtEngine,
  { deep = false }: AuditOptions = {},
  context: Context = NO_CONTEXT,
): Promise<Finding[]> {
  const { managed, owners, findings } = await readDomains(engine);
  const [unreachable, ...found] = await Promise.all([
    findUnreachable(engine, managed),
    ...managed.map((each) => auditInstance(engine, each)),
  ]);
  const contents = deep ? await checkContents(managed, context) : [];
  return [...findings, ...found.flat(), ...contents, ...unreachable, ...(await auditPool(engine, owners))];
}

/** Of a caller who gave none. */
const NO_CONTEXT: Context = { signal: new AbortController().signal, progress() {} };

/** All domains: ours, whose UUIDs are taken by whom, and what cannot be read of ours. */
async function readDomains(engine: LibvirtEngine) {
  const managed: Managed[] = [];
  const owners = new Map<string, Owner>();
  const findings: Finding[] = [];
  for (const domain of await engine.connection.listDomains()) {
    try {
      const found = await readManaged(domain);
      owners.set(domain.uuid, { name: domain.name, ours: found !== undefined });
      if (found !== undefined) {
        managed.push(found);
      }
    } catch (error) {
      if (isLibvirt(error, "NO_DOMAIN")) {
        continue;
      }
      if (!isStrataError(error)) {
        throw error;
      }
      owners.set(domain.uuid, { name: domain.name, ours: true });
      findings.push({
        kind: "record-unreadable",
        instance: domain.name,
        subject: domain.uuid,
        detail: error.message,
      });
    }
  }
  return { managed, owners, findings };
}

/** How long a look or a repair waits for others, ms: another `doctor` has an instance for a moment only. */
const LOOK_TIMEOUT_MS = 2000;

/**
 * What somebody is at work on does not agree for a moment: only what nobody has locked is reported. Who looks at the
 * same time shares the lock.
 */
async function auditInstance(engine: LibvirtEngine, managed: Managed): Promise<Finding[]> {
  const { domain, name, metadata } = managed;
  const first = await findInInstance(engine, managed);
  if (first.length === 0) {
    return [];
  }
  const options = { name, wait: LOOK_TIMEOUT_MS, shared: true };
  try {
    await using _lock = await lockFolder(metadata.folder, options).catch((error: unknown) => {
      if (isBusy(error)) {
        throw error;
      }
      // Without its folder, or without the right to it, there is nothing to wait for.
      return null;
    });
    const again = await readManaged(domain);
    return again === undefined ? [] : await findInInstance(engine, again);
  } catch (error) {
    if (isBusy(error) || isLibvirt(error, "NO_DOMAIN")) {
      return [];
    }
    throw error;
  }
}

function isBusy(error: unknown): boolean {
  return isStrataError(error) && error.code === "BUSY";
}

async function auditPool(engine: LibvirtEngine, owners: ReadonlyMap<string, Owner>): Promise<Finding[]> {
  const pool = await engine.pool();
  const found = await findInPool(pool, owners);
  if (found.length === 0) {
    return [];
  }
  try {
    await using _lock = await lockPool(pool, 0);
    return await findUnlocked(pool, (await readDomains(engine)).owners);
  } catch (error) {
    if (isBusy(error)) {
      return [];
    }
    // Without the right to the lock, nor is there one to what lies in the pool, which is what was found.
    if (isStrataError(error) && error.code === "PERMISSION_DENIED") {
      return found;
    }
    throw error;
  }
}

/** Looks again under the lock that keeps others out, and does what the finding says if it is still so. */
async function repair(
  engine: LibvirtEngine,
  finding: Finding,
  context: Context,
  choice: string | undefined,
): Promise<boolean> {
  const offered =
    choice === undefined ? finding.repair : finding.choices?.find(({ name }) => name === choice);
  if (offered === undefined) {
    return false;
  }
  const { managed } = await readDomains(engine);
  if (finding.kind === "folder-unreachable") {
    return openFolder(engine, managed, finding);
  }
  if (finding.instance === undefined) {
    return repairPool(engine, finding, choice);
  }
  const found = managed.find(({ name }) => name === finding.instance);
  if (found === undefined) {
    return false;
  }
  const { uuid } = found.domain;
  const which = { name: found.name, id: uuid };
  if (finding.kind === "operation-unfinished" || finding.kind === "build-left") {
    // Taking hold is all it takes; it may be what ends the instance.
    await using done = await lockInstance(engine, which, { wait: LOOK_TIMEOUT_MS }, context).catch(ended);
    if (done !== null) {
      await getReady(engine, uuid, context);
    }
    return true;
  }
  await using _lock = await lockInstance(engine, which, { wait: LOOK_TIMEOUT_MS }, context);
  // What an interrupted operation has left does not tell what is wrong, and nothing else may be repaired before.
  const now = isOfEntry(finding) ? await getLocked(engine, uuid) : await getReady(engine, uuid, context);
  if (isLayerRepair(finding)) {
    return await repairDamage(engine, now, finding, context);
  }
  const same = (await findInInstance(engine, now)).some((each) => isSame(each, finding));
  if (!same) {
    return false;
  }
  await repairInstance(engine, now, finding, context, choice);
  return true;
}

/** True for a finding about an entry that nothing can be done with, which getting ready would meet again. */
function isOfEntry({ kind }: Finding): boolean {
  return ["operation-too-new", "operation-unreadable", "operation-set-aside"].includes(kind);
}

async function repairInstance(
  engine: LibvirtEngine,
  managed: Managed,
  { kind, subject }: Finding,
  context: Context,
  choice: string | undefined,
): Promise<void> {
  switch (kind) {
    case "layer-unmerged":
      return collectLayers(engine, managed.domain.uuid, context);
    case "current-snapshot-misplaced":
    case "current-snapshot-exposed":
      return setCurrentSnapshot(managed, subject);
    case "record-rewritten":
      return correctRecords(managed);
    case "layer-misplaced":
      return correctParents(managed);
    case "flattened-copy-left":
    case "layer-unreferenced":
      return unlink(subject);
    case "file-accessible":
      return chmod(subject, 0o600);
    case "layer-orphaned":
    case "layer-unnamed":
    case "layer-kept":
      return repairLayer(engine, managed, subject, context, choice);
    case "record-lost":
      return repairRecord(engine, managed, subject, context, choice);
    case "operation-too-new":
    case "operation-unreadable":
      return dropOperation(managed);
    case "operation-set-aside":
      return choice === "retry" ? retry(engine, managed, subject, context) : unlink(subject);
    default:
      throw failure("INTERNAL", { reason: `no repair of ${kind} is known` });
  }
}

/** Has an operation that was set aside tried again. */
async function retry(
  engine: LibvirtEngine,
  managed: Managed,
  entry: string,
  context: Context,
): Promise<void> {
  const { folder } = managed.metadata;
  if (await exists(join(folder, JOURNAL))) {
    await getReady(engine, managed.domain.uuid, context);
  }
  await rename(entry, join(folder, JOURNAL));
  await getReady(engine, managed.domain.uuid, context);
}

/** Sets an operation aside that this version cannot use, wherever it is noted. */
async function dropOperation(managed: Managed): Promise<void> {
  const { folder, operation } = managed.metadata;
  if (operation?.kind === "unusable") {
    if (!(await exists(join(folder, JOURNAL)))) {
      await writeAside(folder, operation.reason);
    }
    await writeMetadata(managed, { operation: null });
  }
  if (await exists(join(folder, JOURNAL))) {
    await setJournalAside(folder);
  }
}

async function repairLayer(
  engine: LibvirtEngine,
  managed: Managed,
  path: string,
  context: Context,
  choice = "record",
): Promise<void> {
  if (choice === "activate") {
    return activateLayer(engine, managed, path);
  }
  if (choice === "remove") {
    return giveUpLayer(engine, managed, path, context);
  }
  return recordLayer(managed, path);
}

/** Records that were lost together are recorded together: one may hang under another. */
async function repairRecord(
  engine: LibvirtEngine,
  managed: Managed,
  name: string,
  context: Context,
  choice = "record",
): Promise<void> {
  const copies = await listCopies(managed.metadata.folder);
  const listed = new Set((await managed.domain.listSnapshots()).map((snapshot) => snapshot.name));
  const lost = copies.filter((copy) => !listed.has(copy.name));
  const copy = lost.find((each) => each.name === name);
  if (copy === undefined) {
    return;
  }
  if (choice === "remove") {
    return giveUpRecord(engine, managed, copy, context);
  }
  return recordLost(managed, lost);
}

function ended(error: unknown): null {
  if (isStrataError(error) && error.code === "INSTANCE_NOT_FOUND") {
    return null;
  }
  throw error;
}

async function repairPool(
  engine: LibvirtEngine,
  finding: Finding,
  choice: string | undefined,
): Promise<boolean> {
  const pool = await engine.pool();
  await using _lock = await lockPool(pool);
  const { owners } = await readDomains(engine);
  const same = (await findUnlocked(pool, owners)).find((each) => isSame(each, finding));
  if (same === undefined) {
    return false;
  }
  if (finding.kind === "domain-lost") {
    if (choice === "remove") {
      await rm(finding.subject, { recursive: true });
    }
  } else if (finding.kind === "folder-abandoned") {
    const folder = instanceFolder(pool, finding.subject.slice(join(pool, "instances", "/").length));
    await using _made = await lockFile(join(folder, "lock"), { name: folder, wait: 0 });
    await removeFiles(engine, folder);
  } else {
    await rm(finding.subject, { force: true });
  }
  return true;
}

/** The same finding, and still one that can be repaired. */
function isSame(a: Finding, b: Finding): boolean {
  return a.repair === b.repair && a.kind === b.kind && a.subject === b.subject && a.instance === b.instance;
}
