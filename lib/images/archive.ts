import { pipeline } from "node:stream/promises";
import type { Context } from "../engine/contract.ts";
import { failure, isStrataError } from "../errors.ts";
import { readStart, run, runReading } from "../util/programs.ts";
import { HEAD, judgeHead } from "./disk-format.ts";
import { LARGEST, LIMITS, packingOf, unpackable, writeNew } from "./unpack.ts";

/** More entries than any archive around a disk has; an OVA has about six. */
const MOST_NAMES = 100;

/** True for a tar archive, such as an OVA. */
export function isArchive(head: Buffer): boolean {
  return head.toString("latin1", 257, 262) === "ustar";
}

/**
 * Writes the one disk in a tar archive to `to`. Other entries, such as the description in an OVA, are
 * ignored. Rejects with IMAGE_UNREADABLE if there is no disk or several, or if the archive is damaged. Names
 * in the archive are never used as paths on this host: GNU tar, which supports all kinds of sparse files,
 * writes a single entry to its output.
 */
export async function extractDisk(
  image: string,
  from: string,
  to: string,
  context: Context,
  largest = LARGEST,
): Promise<void> {
  const disks: string[] = [];
  for (const name of await listNames(image, from, context)) {
    if (await isDisk(image, from, name, context)) {
      disks.push(name);
    }
  }
  const [disk, ...others] = disks;
  if (disk === undefined) {
    throw failure("IMAGE_UNREADABLE", { image, reason: "it is an archive without a disk image in it" });
  }
  if (others.length > 0) {
    const reason = `it is an archive of ${disks.length} disks, and must have one: ${disks.join(", ")}`;
    throw failure("IMAGE_UNREADABLE", { image, reason });
  }
  const { signal } = context;
  await writeNew(image, to, context, largest, (write) =>
    runReading(...extraction(from, disk), { signal, limits: LIMITS }, (output) => pipeline(output, write)),
  );
}

/** Files in the archive. Their names must differ, because tar would concatenate entries of the same name. */
async function listNames(image: string, from: string, { signal }: Context): Promise<string[]> {
  const list = ["--list", "--quoting-style=literal", "--file", from];
  const output = await run("tar", list, { signal, limits: LIMITS }).catch((error: unknown) => {
    throw unpackable(image, error);
  });
  const names = output.split("\n").filter((name) => name !== "" && !name.endsWith("/"));
  if (names.length > MOST_NAMES || new Set(names).size < names.length) {
    const reason = `it is an archive of ${names.length} files, and must be one of a single disk`;
    throw failure("IMAGE_UNREADABLE", { image, reason });
  }
  // tar treats a backslash in a name as the beginning of an escape.
  return names.filter((name) => !name.includes("\\"));
}

async function isDisk(image: string, from: string, name: string, { signal }: Context): Promise<boolean> {
  const head = await readStart(...extraction(from, name), { signal, limits: LIMITS }, HEAD).catch(
    (error: unknown) => {
      throw unpackable(image, error);
    },
  );
  if (packingOf(head) !== null) {
    return true;
  }
  try {
    judgeHead(name, head);
    return true;
  } catch (error) {
    // This means a disk that is refused, not another file that is not a disk.
    return isStrataError(error) && error.code === "IMAGE_HAS_BACKING";
  }
}

function extraction(from: string, name: string): [string, string[]] {
  return ["tar", ["--extract", "--to-stdout", "--file", from, "--", name]];
}
