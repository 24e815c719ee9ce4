import { asStrataError } from "../errors.ts";
import type { CallOptions, ImageInfo } from "./api.ts";
import { contextOf, type Session } from "./session.ts";

/** Removes images from the cache and from the engines of the configuration that keep them too. */
export async function removeImages(
  session: Session,
  names: readonly string[],
  call?: CallOptions,
): Promise<ImageInfo[]> {
  const context = contextOf(call);
  const removed = await (await session.images()).remove(names);
  const sums = removed.map(({ sha256 }) => sha256);
  for (const each of [session, ...(await session.others())])
    try {
      await (await each.plugin()).forgetImages?.(await each.openOptions(), sums);
    } catch (error) {
      context.warn?.(`${each.engineName} may have kept an image: ${asStrataError(error).message}`);
    }
  return removed;
}
