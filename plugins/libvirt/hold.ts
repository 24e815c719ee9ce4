import { mkdir } from "node:fs/promises";
import type { Context, Hold } from "../../lib/backend/contract.ts";
import { isStrataError } from "../../lib/errors.ts";
import { type Engine, findDomain, getManaged, lockInstance, type Managed, readManaged } from "./engine.ts";
import { clearMark, fence } from "./fence.ts";
import { finishOf } from "./recovery.ts";
import { removePartials } from "./stand-ins.ts";

/** Locks the instance and finishes what an operation that died has left half done. */
export async function hold(
  engine: Engine,
  id: string,
  { wait }: { readonly wait: number },
  { signal }: Context,
): Promise<Hold> {
  const { name, metadata } = await getManaged(engine, id);
  // A removal that died has taken the folder and left the domain: there must be something to lock.
  if (isUnfinished(metadata)) await mkdir(metadata.folder, { recursive: true, mode: 0o710 });
  const lock = await lockInstance(metadata.folder, { name, wait, signal });
  let released: Promise<void> | undefined;
  // Once only: the descriptor's number may be another file's by the second time.
  const release = () => {
    released ??= (async () => {
      engine.holds.delete(id);
      try {
        await clearMark(lock);
      } finally {
        await lock[Symbol.asyncDispose]();
      }
    })();
    return released;
  };
  engine.holds.set(id, lock);
  try {
    await fence(engine, id, lock);
    const found = await getManaged(engine, id, name);
    await finishOf(engine, found, { signal });
    // What was finished may have been its removal.
    if (found.metadata.operation !== undefined) await getManaged(engine, id, name);
    await removePartials(metadata.folder);
  } catch (error) {
    await release();
    throw error;
  }
  return { id, [Symbol.asyncDispose]: release };
}

/** Operations that make an instance or end it: one that died has perhaps left no folder. */
const ENDS = ["create", "purge", "release"];

/** True for what a launch, a removal or a release that died has left of an instance. */
export function isUnfinished({ operation }: Managed["metadata"]): boolean {
  return operation !== undefined && ENDS.includes(operation.kind);
}

/** Takes away what a launch or a removal that died has left under the name; not while one is at work. */
export async function clearUnfinished(engine: Engine, name: string, context: Context): Promise<void> {
  const domain = await findDomain(engine, name);
  const managed = domain === null ? undefined : await readManaged(domain);
  if (managed === undefined || !isUnfinished(managed.metadata)) return;
  const { uuid } = managed.domain;
  await using _hold = await hold(engine, uuid, { wait: 0 }, context).catch((error: unknown) => {
    if (isStrataError(error) && (error.code === "INSTANCE_NOT_FOUND" || error.code === "BUSY")) return null;
    throw error;
  });
}
