import type { Instance } from "../backend/contract.ts";
import { isStrataError } from "../errors.ts";
import type { CallOptions, Optimized } from "./api.ts";
import { requireGroup } from "./features.ts";
import { getInstances, requireStopped, unlessGone, whileHeld } from "./instances.ts";
import { contextOf, type Session } from "./session.ts";

/** Makes reads of stopped instances as fast as they get, whatever has to be copied. */
export async function optimize(
  session: Session,
  names: readonly string[],
  call?: CallOptions,
): Promise<Optimized[]> {
  const context = contextOf(call);
  const group = await requireGroup(session, "read-image", "optimizing", (backend) => backend.readImages);
  const optimized: Optimized[] = [];
  const optimizeHeld = async (fresh: Instance) => {
    requireStopped(fresh, "Only stopped instances can be optimized");
    await group.build(fresh.id, context);
    optimized.push({ name: fresh.name, size: await group.size(fresh.id) });
  };
  for (const instance of await getInstances(session, names, {}, call))
    await unlessGone(call, () => whileHeld(session, instance, context, optimizeHeld));
  return optimized;
}

/** Bytes that the engine keeps for an instance's reads; null where it keeps none or may not be asked. */
export async function readImageSize(session: Session, { id }: Instance): Promise<bigint | null> {
  const { readImages } = await session.backend();
  if (readImages === undefined) return null;
  return readImages.size(id).catch((error: unknown) => {
    if (isStrataError(error) && error.code === "PERMISSION_DENIED") return null;
    throw error;
  });
}
