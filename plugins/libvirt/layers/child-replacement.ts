import { type Stats, statSync } from "node:fs";
import { link, rename } from "node:fs/promises";
import { failure } from "../../../lib/errors.ts";
import type { OperationOf } from "../journal/entry.ts";
import { writeJournal } from "../journal/journal.ts";
import { flush } from "../qcow2/qemu-img.ts";
import { removeIfThere } from "../storage/durable-file.ts";
import { isUsedElsewhere } from "../storage/file-users.ts";
import { fileVersion, statIfThere } from "../storage/file-version.ts";
import { replacedPath } from "./layers.ts";

type Merge = OperationOf<"merge">;

/**
 * Gives the layer, which holds all that the child does, the child's name and place: what read the child now reads
 * the layer itself. A guest that was started by others has the child's file open under whatever name, and would
 * write where nobody looks again: then all is put back.
 */
export async function replaceChild(folder: string, merge: Merge): Promise<void> {
  const { layer, child } = merge;
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

/** True while it is open which of two files has the child's place. */
export function isReplacementOpen({ child }: Pick<Merge, "child">): boolean {
  return statIfThere(replacedPath(child)) !== undefined;
}

/**
 * Decides, where somebody died while a place was taken, which file has it. Whichever a guest has run on since holds
 * what the other does not: the layer stays in the child's place unless the child alone was written. False while
 * guests use both; rejects where both were written.
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
    const [oldUsed, nowUsed] = [await isUsedElsewhere(old), await isUsedElsewhere(now)];
    const changed = {
      old: oldUsed || fileVersion(kept) !== childStamp,
      now: nowUsed || fileVersion(child) !== layerStamp,
    };
    if (changed.old && changed.now) {
      if (oldUsed || nowUsed) {
        return false;
      }
      throw failure("RECORDS_DIFFER", {
        name: child,
        reason: `${child} and ${kept} may both have been written, and each may hold what the other does not`,
      });
    }
    if (changed.old) {
      await putBack(layer, child, now);
    } else {
      await removeIfThere(kept);
    }
  }
  await flush(child);
  return true;
}

async function putBack(layer: string, child: string, now: Stats): Promise<void> {
  const there = statIfThere(layer);
  if (there === undefined) {
    await link(child, layer);
  } else if (there.ino !== now.ino) {
    throw failure("RECORDS_DIFFER", {
      name: child,
      reason: `${layer} is another file than the one that was merged`,
    });
  }
  await rename(replacedPath(child), child);
}
