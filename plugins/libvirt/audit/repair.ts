import { chmod, rename, rm, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Context, Finding } from "../../../lib/engine/contract.ts";
import { failure, isStrataError } from "../../../lib/errors.ts";
import { getLocked, type LibvirtEngine, type Managed, writeMetadata } from "../engine.ts";
import { JOURNAL, setJournalAside, writeAside } from "../journal/journal.ts";
import { getReady } from "../journal/recover.ts";
import { collectLayers } from "../layers/collect.ts";
import { activateLayer, giveUpLayer, giveUpRecord } from "../layers/orphans.ts";
import { instanceFolder, lockPool, removeFiles } from "../lifecycle/removal.ts";
import { lockInstance } from "../lock/instance-lock.ts";
import { lockFile } from "../lock/lock.ts";
import { repairSubnet } from "../network/subnet.ts";
import { setCurrentSnapshot } from "../snapshots/current-snapshot.ts";
import { correctParents, recordLayer, recordLost } from "../snapshots/record-again.ts";
import { listCopies } from "../snapshots/record-copies.ts";
import { correctRecords } from "../snapshots/redefine.ts";
import { exists } from "../storage/pool.ts";
import { LOOK_TIMEOUT_MS, readDomains } from "./audit.ts";
import { findInInstance } from "./instance.ts";
import { isLayerRepair, repairLayer as repairDamage } from "./layer-repairs.ts";
import { findUnlocked } from "./pool.ts";
import { openFolder } from "./reach.ts";

/** Checks a finding again with the instance locked, and repairs it if it is still there. */
export async function repair(
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
  if (finding.kind === "subnet-taken") {
    return repairSubnet(engine);
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
    // Locking the instance is enough, and may remove it.
    await using done = await lockInstance(engine, which, { wait: LOOK_TIMEOUT_MS }, context).catch(ended);
    if (done !== null) {
      await getReady(engine, uuid, context);
    }
    return true;
  }
  await using _lock = await lockInstance(engine, which, { wait: LOOK_TIMEOUT_MS }, context);
  // After an interrupted operation, other findings may be wrong, and nothing else may be repaired before it.
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

/** True for a finding about an entry that cannot be used, on which `getReady` would fail. */
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
    case "memory-left":
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
      throw failure("INTERNAL", { reason: `there is no repair for ${kind}` });
  }
}

/** Tries an operation again that was set aside. */
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

/** Sets aside an operation that this version cannot use, wherever its entry is. */
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

/** Records lost together are recorded together, because one may be another's parent. */
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

/** True for the same finding, which can still be repaired. */
function isSame(a: Finding, b: Finding): boolean {
  return a.repair === b.repair && a.kind === b.kind && a.subject === b.subject && a.instance === b.instance;
}
