import type { Instance } from "../../engine/contract.ts";
import { isStrataError } from "../../errors.ts";
import type { EachOptions, Optimized } from "../api/strata.ts";
import { requireGroup } from "../session/features.ts";
import type { Session } from "../session/session.ts";
import { eachLocked, getInstances, requireStopped } from "./instances.ts";

/** Makes reads of stopped instances as fast as possible, however much has to be copied. */
export async function optimize(
  session: Session,
  names: readonly string[],
  call?: EachOptions,
): Promise<Optimized[]> {
  const group = await requireGroup(session, "read-image", "optimizing", (engine) => engine.readImages);
  const optimized: Optimized[] = [];
  const chosen = await getInstances(session, names, {}, call);
  await eachLocked(session, chosen, call, async (lock, context) => {
    const { id, name } = lock.instance;
    requireStopped(lock.instance, "Only stopped instances can be optimized");
    await group.build(lock, context);
    optimized.push({ name, size: await group.size(id) });
  });
  return optimized;
}

/** Bytes that the engine keeps for fast reads of an instance; null if it keeps none or cannot tell. */
export async function readImageSize(session: Session, { id }: Instance): Promise<bigint | null> {
  const { readImages } = await session.engine();
  if (readImages === undefined) {
    return null;
  }
  return readImages.size(id).catch((error: unknown) => {
    if (isStrataError(error) && error.code === "PERMISSION_DENIED") {
      return null;
    }
    throw error;
  });
}
