import { statfs } from "node:fs/promises";
import { failure } from "../errors.ts";
import { formatSize } from "../size/format.ts";

/**
 * Rejects with NO_SPACE, which says how much is missing, unless `bytes` are free at `folder`. The details
 * `needed`, `free` and `missing` are bytes.
 */
export async function requireSpace(folder: string, bytes: bigint): Promise<void> {
  const { bavail, bsize } = await statfs(folder, { bigint: true });
  const free = bavail * bsize;
  if (free >= bytes) {
    return;
  }
  const missing = bytes - free;
  const where = `${folder}: ${formatSize(bytes)} needed, ${formatSize(free)} free, ${formatSize(missing)} missing`;
  const room = { needed: bytes, free, missing };
  throw failure("NO_SPACE", { where, ...room });
}
