import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { fileVersion } from "../storage/file-version.ts";
import { checkImage, type ImageCheck } from "./qemu-img.ts";
import { extentOfFile } from "./tables.ts";

/** Like `isDamaged`, but runs qemu-img only if the file's tables do not tell. */
export async function hasLost(path: string): Promise<boolean> {
  return extentOfFile(path) !== "whole" && isDamaged(path, {});
}

/** Rejects with LAYER_UNREADABLE if a file is known to have lost data. */
export async function requireWhole(name: string, path: string): Promise<void> {
  if (await hasLost(path)) {
    throw failure("LAYER_UNREADABLE", { name, path, reason: "it is damaged; see `strata doctor`" });
  }
}

/** True if a file is known to have lost data. */
export async function isDamaged(path: string, call: Partial<Pick<Context, "signal">>): Promise<boolean> {
  const extent = extentOfFile(path);
  if (extent === "corrupt" || extent === "cut") {
    return true;
  }
  if (extent === "unknown") {
    return false;
  }
  const checked = await checkAtRest(path, call);
  return checked !== null && isWrong(checked);
}

export const isWrong = ({ corruptions, failed }: ImageCheck) => corruptions > 0 || failed !== null;

/** What qemu-img reports about a file; null if it was written, replaced or removed meanwhile. */
export async function checkAtRest(
  path: string,
  { signal }: Partial<Pick<Context, "signal">>,
): Promise<ImageCheck | null> {
  const before = fileVersion(path);
  const checked = await checkImage(path, signal === undefined ? {} : { signal });
  return before !== "" && before === fileVersion(path) ? checked : null;
}
