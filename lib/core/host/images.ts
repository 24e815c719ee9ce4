import { asStrataError } from "../../errors.ts";
import type { CallOptions, FindOptions, ImageInfo, ImageOffers, ImageOptions } from "../api/strata.ts";
import { contextOf, type Session } from "../session/session.ts";

/**
 * The images that can be launched; including those for other engines if ours does not say which formats it
 * accepts.
 */
export async function findImages(
  session: Session,
  options: FindOptions = {},
  call?: CallOptions,
): Promise<ImageOffers> {
  const formats = await session.info().then(
    ({ imageFormats }) => imageFormats,
    (error: unknown) => {
      session.log.warn(
        `${session.engineName} could not be asked for its image formats: ${asStrataError(error).message}`,
      );
      return undefined;
    },
  );
  return (await session.images()).find(options, contextOf(call), formats);
}

/** Whether an image is for all users. */
export function placeOf({ system }: ImageOptions): { system?: boolean } {
  return system === undefined ? {} : { system };
}

/** Removes images from the cache and from the engines of the configuration that keep them too. */
export async function removeImages(
  session: Session,
  names: readonly string[],
  options: ImageOptions = {},
): Promise<ImageInfo[]> {
  const context = contextOf(options);
  const removed = await (await session.images()).remove(names, placeOf(options));
  const sums = removed.map(({ sha256 }) => sha256);
  for (const each of [session, ...(await session.others())]) {
    try {
      await (await each.plugin()).forgetImages?.(await each.openOptions(), sums);
    } catch (error) {
      context.warn?.(`${each.engineName} may have kept an image: ${asStrataError(error).message}`);
    }
  }
  return removed;
}
