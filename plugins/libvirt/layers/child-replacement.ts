import { type Stats, statSync } from "node:fs";
import { link, rename } from "node:fs/promises";
import { failure } from "../../../lib/errors.ts";
import type { OperationOf } from "../journal/entry.ts";
import { writeJournal } from "../journal/journal.ts";
import { requireUnpinned } from "../pins/pins.ts";
import { flush } from "../qcow2/qemu-img.ts";
import { removeIfThere } from "../storage/durable-file.ts";
import { isUsedElsewhere } from "../storage/file-users.ts";
import { fileVersion, statIfThere } from "../storage/file-version.ts";
import { replacedPath } from "./names.ts";

type Merge = OperationOf<"merge">;

/**
 * Gives the layer, which contains everything in the child, the child's name: what read through the child now
 * reads the layer. A guest that was started by someone else has the child's file open under any name, and
 * would write where nothing looks for it; then everything is put back.
 */
export async function replaceChild(folder: string, merge: Merge): Promise<void> {
  const { layer, child } = merge;
  await requireUnpinned(child);
  const kept = replacedPath(child);
  const written = { ...merge, childStamp: fileVersion(child), layerStamp: fileVersion(layer) };
  await writeJournal(folder, written);
  await link(child, kept);
  const replaced = statSync(kept);
  await rename(layer, child);
  if (await isUsedElsewhere(replaced)) {
    await finishReplacement(written);
    throw failure("WRONG_STATE", { name: child, reason: "Layers cannot be merged", state: "Running" });
  }
  await removeIfThere(kept);
  await flush(child);
}

/** True while it is undecided which of the two files has the child's name. */
export function isReplacementOpen({ child }: Pick<Merge, "child">): boolean {
  return statIfThere(replacedPath(child)) !== undefined;
}

/**
 * After an interrupted replacement, decides which file gets the child's name. False while guests use both;
 * rejects if both were written.
 */
export async function finishReplacement({ layer, child, childStamp, layerStamp }: Merge): Promise<boolean> {
  const kept = replacedPath(child);
  const [old, now] = [statIfThere(kept), statIfThere(child)];
  if (old === undefined) {
    return true;
  }
  if (now === undefined) {
    await rename(kept, child);
  } else if (old.ino === now.ino) {
    await removeIfThere(kept);
  } else {
    const winner = chooseFile({
      child: { used: await isUsedElsewhere(old), written: fileVersion(kept) !== childStamp },
      layer: { used: await isUsedElsewhere(now), written: fileVersion(child) !== layerStamp },
    });
    switch (winner) {
      case "undecided":
        return false;
      case "both":
        throw failure("RECORDS_DIFFER", {
          name: child,
          reason: `${child} and ${kept} may both have been written, and each may contain data that the other does not`,
        });
      case "child":
        await putBack(layer, child, now);
        break;
      case "layer":
        await removeIfThere(kept);
    }
  }
  await flush(child);
  return true;
}

/** What has happened to a file since it was replaced or took another's place. */
interface Fate {
  /** A process has it open. */
  readonly used: boolean;
  readonly written: boolean;
}

/**
 * Which file gets the child's name. If a guest has run since, its file has data that the other does not: the layer
 * keeps the name unless only the child was written. Undecided while a guest uses either of two that may both have
 * been written.
 */
export function chooseFile({
  child,
  layer,
}: {
  readonly child: Fate;
  readonly layer: Fate;
}): "child" | "layer" | "both" | "undecided" {
  const [childChanged, layerChanged] = [child, layer].map(({ used, written }) => used || written);
  if (childChanged && layerChanged) {
    return child.used || layer.used ? "undecided" : "both";
  }
  return childChanged ? "child" : "layer";
}

async function putBack(layer: string, child: string, now: Stats): Promise<void> {
  const there = statIfThere(layer);
  if (there === undefined) {
    await link(child, layer);
  } else if (there.ino !== now.ino) {
    throw failure("RECORDS_DIFFER", {
      name: child,
      reason: `${layer} is not the file that was merged`,
    });
  }
  await rename(replacedPath(child), child);
}
