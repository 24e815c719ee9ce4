import { join, relative } from "node:path";
import type { Mount } from "../engine/contract.ts";

/**
 * The folder in the guest that shows a folder of the host, by the mount nearest to it; undefined if no mount
 * contains it. `folder` is absolute and without symbolic links.
 */
export function folderInside(
  mounts: readonly Pick<Mount, "source" | "target">[],
  folder: string,
): string | undefined {
  const below = mounts.filter(({ source }) => {
    const path = relative(source, folder);
    return path !== ".." && !path.startsWith("../");
  });
  const [nearest] = below.sort((a, b) => b.source.length - a.source.length);
  return nearest === undefined ? undefined : join(nearest.target, relative(nearest.source, folder));
}
