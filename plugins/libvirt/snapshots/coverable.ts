import { failure } from "../../../lib/errors.ts";
import { quote } from "../../../lib/util/quote.ts";
import type { Managed } from "../engine.ts";
import { ENGINE } from "../errors.ts";
import { type CoveredDisk, findDisk, managedTarget } from "../xml/disks.ts";
import { type Element, find } from "../xml/document.ts";

/**
 * Rejects if a further disk is one that a snapshot cannot cover: another hand has attached it, or it was adopted
 * with it. Left out without a word, it would not come back with a restore.
 */
export function requireCoverable(
  { name, document }: Pick<Managed, "name" | "document">,
  disks: readonly CoveredDisk[],
  what = "a snapshot",
): void {
  const system = managedTarget(document);
  for (const { target } of disks.filter((disk) => disk.target !== system)) {
    const disk = findDisk(document, target);
    const obstacle = disk === undefined ? undefined : obstacleOf(disk);
    if (obstacle !== undefined) {
      throw failure("UNSUPPORTED", {
        what: `${what} of disk ${target} of "${name}"`,
        engine: ENGINE,
        reason: `it ${obstacle}; \`strata disk exclude ${quote(name)} ${quote(target)}\` leaves it out of snapshots`,
      });
    }
  }
}

function obstacleOf(disk: Element): string | undefined {
  const { type, device = "disk" } = disk.attributes;
  if (device !== "disk") {
    return `is a ${device}`;
  }
  if (type !== "file" || !find(disk, "source")?.attributes.file) {
    return `must be a file, and has the type ${type}`;
  }
  const format = find(disk, "driver")?.attributes.type ?? "raw";
  if (format !== "qcow2") {
    return `must be qcow2, and is ${format}`;
  }
  const special = ["shareable", "transient", "encryption"].find(
    (each) => find(disk, each) !== undefined || find(disk, "source", each) !== undefined,
  );
  return special === undefined ? undefined : `is ${special}`;
}
