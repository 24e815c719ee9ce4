import type { AuditOptions, Context, Finding } from "../../../lib/engine/contract.ts";
import { quietContext } from "../../../lib/engine/quiet-context.ts";
import { isStrataError } from "../../../lib/errors.ts";
import { type LibvirtEngine, lockFolder, type Managed, readManaged } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { lockPool } from "../lifecycle/removal.ts";
import { findTakenSubnet } from "../network/subnet.ts";
import { findInInstance } from "./instance.ts";
import { checkContents } from "./layer-health.ts";
import { findInPool, findUnlocked, type Owner } from "./pool.ts";
import { findUnreachable } from "./reach.ts";

export async function audit(
  engine: LibvirtEngine,
  { deep = false }: AuditOptions = {},
  context: Context = quietContext(),
): Promise<Finding[]> {
  const { managed, owners, findings } = await readDomains(engine);
  const [subnets, unreachable, ...found] = await Promise.all([
    findTakenSubnet(engine),
    findUnreachable(engine, managed),
    ...managed.map((each) => auditInstance(engine, each)),
  ]);
  const contents = deep ? await checkContents(managed, context) : [];
  const pool = await auditPool(engine, owners);
  return [...findings, ...subnets, ...found.flat(), ...contents, ...unreachable, ...pool];
}

/** All domains: strata's own, the owners of all UUIDs, and findings for those that cannot be read. */
export async function readDomains(engine: LibvirtEngine) {
  const managed: Managed[] = [];
  const owners = new Map<string, Owner>();
  const findings: Finding[] = [];
  for (const domain of await engine.connection.listDomains()) {
    try {
      const found = await readManaged(domain);
      owners.set(domain.uuid, { name: found?.name ?? domain.name, ours: found !== undefined });
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

/** How long an audit or a repair waits for a lock, ms: another `doctor` has it for a moment only. */
export const LOOK_TIMEOUT_MS = 2000;

/**
 * While another process changes an instance, it is inconsistent for a moment: findings are reported only if
 * no process has locked it. Audits share the lock.
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
      // Without its folder, or without permission, there is nothing to wait for.
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
    // Without permission for the lock, there is none for the contents of the pool either, which is what was
    // found.
    if (isStrataError(error) && error.code === "PERMISSION_DENIED") {
      return found;
    }
    throw error;
  }
}
