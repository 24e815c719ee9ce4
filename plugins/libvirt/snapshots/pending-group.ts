import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type LibvirtEngine, readOwnMetadata } from "../engine.ts";
import { fileError, isLibvirt } from "../errors.ts";
import { flushFolder } from "../qcow2/qemu-img.ts";
import { readIfThere, removeIfThere, writeDurably } from "../storage/durable-file.ts";

/**
 * A file in the pool for each group of snapshots that is being taken, with the ids of its members. While it is there,
 * whoever finishes the take of a member undoes it. Removing it is what makes the group: from then on, each member's is
 * finished. An old definition that brings the entry of a take back finds no file, and so costs no snapshot.
 */
export async function beginGroup(
  engine: LibvirtEngine,
  group: string,
  members: readonly string[],
): Promise<void> {
  const path = await pathOf(engine, group);
  const folder = join(path, "..");
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await flushFolder(folder);
  } catch (error) {
    throw fileError(error, folder);
  }
  await writeDurably(path, `${JSON.stringify({ version: 1, members })}\n`);
}

/** Makes the group: the snapshots of all members have been taken. */
export async function commitGroup(engine: LibvirtEngine, group: string): Promise<void> {
  const path = await pathOf(engine, group);
  await removeIfThere(path);
  await flushFolder(path);
}

/** True if a take of that group must be undone. */
export async function isPendingGroup(engine: LibvirtEngine, group: string | undefined): Promise<boolean> {
  return group !== undefined && (await readIfThere(await pathOf(engine, group))) !== null;
}

/** Removes the file of a group once the takes of all its members have been undone. */
export async function endGroup(engine: LibvirtEngine, group: string): Promise<void> {
  const path = await pathOf(engine, group);
  for (const id of membersIn((await readIfThere(path)) ?? "")) {
    const metadata = await readOwnMetadata(engine.connection.domainOfUuid(id)).catch((error: unknown) => {
      if (isLibvirt(error, "NO_DOMAIN")) {
        return undefined;
      }
      throw error;
    });
    if (metadata?.snapshot?.group === group) {
      return;
    }
  }
  await removeIfThere(path);
}

function membersIn(text: string): string[] {
  try {
    const { members } = Object(JSON.parse(text)) as Record<string, unknown>;
    return Array.isArray(members) ? members.filter((each) => typeof each === "string") : [];
  } catch {
    return [];
  }
}

async function pathOf(engine: LibvirtEngine, group: string): Promise<string> {
  return join(await engine.pool(), "groups", `${encodeURIComponent(group)}.json`);
}
