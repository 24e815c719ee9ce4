import { chown, lstat, mkdir, open, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileError, isAbsent } from "../errors.ts";
import { flushFolder } from "../qcow2/qemu-img.ts";
import { removeIfThere } from "../storage/durable-file.ts";
import type { Places } from "./places.ts";
import { type FirmwareState, pathIn, presentFiles, type StateFile } from "./state.ts";

/** Folders of the emulator's, as libvirt makes them: each user that QEMU runs as has to get through. */
const PASSABLE = 0o711;

/**
 * Writes a state beside the present one, which stays: what could keep it from being put into place, such as want of
 * room, shows here.
 */
export async function stage(places: Places, state: FirmwareState): Promise<void> {
  for (const file of state) {
    const path = pathIn(places, file.name);
    if (path !== undefined) {
      await stageFile(path, file);
    }
  }
}

/** Puts a state into place. It can be repeated, and needs nothing that `stage` has done. */
export async function apply(places: Places, state: FirmwareState): Promise<void> {
  const wanted = new Set(state.map(({ name }) => name));
  for (const file of state) {
    const path = pathIn(places, file.name);
    if (path !== undefined) {
      await stageFile(path, file);
      await inPlace(path, async () => {
        await rename(stagedPath(path), path);
        await flushFolder(path);
      });
    }
  }
  // What the firmware made after the snapshot, or all if it had made nothing by then.
  for (const name of await presentFiles(places)) {
    const path = wanted.has(name) ? undefined : pathIn(places, name);
    if (path !== undefined) {
      await removeIfThere(path);
    }
  }
}

/** Removes what `stage` wrote for a state that is not put into place. */
export async function unstage(places: Places, state: FirmwareState): Promise<void> {
  for (const { name } of state) {
    const path = pathIn(places, name);
    if (path !== undefined) {
      await removeIfThere(stagedPath(path));
    }
  }
}

/** Hidden, so that it is not taken for a file of the emulator's. */
function stagedPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.strata-new`);
}

async function stageFile(path: string, file: StateFile): Promise<void> {
  await inPlace(path, async () => {
    const { uid, gid } = await ownerOf(path, file);
    if (file.name.startsWith("tpm/")) {
      await makeTpmFolder(dirname(path), { uid, gid });
    }
    const staged = stagedPath(path);
    await removeIfThere(staged);
    // The folder may belong to the user that QEMU runs as: a link that it puts there is not followed.
    await using written = await open(staged, "wx", 0o600);
    await written.chmod(0o600);
    await written.writeFile(file.contents);
    if (process.getuid?.() === 0) {
      await written.chown(uid, gid);
    }
    await written.sync();
  });
}

/** The owner of the present file, which libvirt has given it; else the one that the state's file had. */
async function ownerOf(path: string, { uid, gid }: StateFile): Promise<{ uid: number; gid: number }> {
  return lstat(path).catch((error: unknown) => {
    if (isAbsent(error)) {
      return { uid, gid };
    }
    throw error;
  });
}

async function makeTpmFolder(folder: string, owner: { uid: number; gid: number }): Promise<void> {
  await mkdir(dirname(folder), { recursive: true, mode: PASSABLE });
  const made = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (made !== undefined && process.getuid?.() === 0) {
    await chown(folder, owner.uid, owner.gid);
  }
}

async function inPlace<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileError(error, path);
  }
}
