import { randomUUID } from "node:crypto";
import { readFile, readlink } from "node:fs/promises";
import { hostname } from "node:os";
import { z } from "zod";

/** The owner of a lock, as stored in the instance's config, where every client can read it. */
export interface Lease {
  /** A random id for each lock. */
  readonly holder: string;
  /** The system in which the holder's process id is valid. */
  readonly host: string;
  readonly pid: number;
  /** When the process started, in its kernel's units, because process ids are reused. */
  readonly began: string;
  /** Incremented while the holder lives. */
  readonly beat: number;
}

const leaseShape = z.object({
  holder: z.string(),
  host: z.string(),
  pid: z.number(),
  began: z.string(),
  beat: z.number(),
});

/** Reads a lease. One that cannot be read counts as one that is not renewed. */
export function readLease(text: string): Lease | undefined {
  try {
    return leaseShape.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Creates a lease of this process. */
export async function newLease(): Promise<Lease> {
  const began = (await beginOf(process.pid)) ?? "";
  return { holder: randomUUID(), host: await hostId(), pid: process.pid, began, beat: 0 };
}

/** True if the holder's process is known to be dead; false if it lives or is not visible from here. */
export async function isGone({ host, pid, began }: Lease): Promise<boolean> {
  if (began === "" || host !== (await hostId())) {
    return false;
  }
  return (await beginOf(pid)) !== began;
}

/** True if a living process is the holder, whatever its heartbeat. */
export async function isHere(lease: Lease): Promise<boolean> {
  return lease.began !== "" && lease.host === (await hostId()) && !(await isGone(lease));
}

/** Equal for two processes exactly if they see each other's ids: same boot, same process namespace. */
async function hostId(): Promise<string> {
  const [boot, space] = await Promise.all([
    readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => ""),
    readlink("/proc/self/ns/pid").catch(() => ""),
  ]);
  return boot === "" || space === "" ? `host ${hostname()}` : `${boot.trim()} ${space}`;
}

/** When a process started, in ticks since the boot; undefined if it does not exist, or there is no /proc. */
async function beginOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // The name of the program comes second, in parentheses, and may contain anything.
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}
