import { constants, type Stats, statSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";

/** Files that somebody has open or locked on this host. */
export interface FileUsers {
  /** True when a process has the file locked as QEMU locks its images, or open. */
  has(path: string): Promise<boolean>;
}

/**
 * Which files QEMU, or whatever else, has locked. An image that is open for writing is locked by its offset; the
 * kernel lists such locks by inode, also those of processes that we may not look into.
 */
export async function readFileUsers(): Promise<FileUsers> {
  const locked = lockedInodes(await readFile("/proc/locks", "utf8").catch(() => ""));
  return {
    async has(path) {
      const found = statSync(path, { throwIfNoEntry: false });
      return found !== undefined && locked.has(found.ino);
    },
  };
}

/** Inodes with a lock of the kind that QEMU takes. The device is left out: btrfs tells another than `stat` does. */
export function lockedInodes(locks: string): ReadonlySet<number> {
  const found = new Set<number>();
  for (const line of locks.split("\n")) {
    const inode = /\bOFDLCK\b.*\s[0-9a-f]+:[0-9a-f]+:(\d+)\s/.exec(line)?.[1];
    if (inode !== undefined) {
      found.add(Number(inode));
    }
  }
  return found;
}

/**
 * True when a QEMU has the file open, or any other process for writing, as far as we may look: root may everywhere.
 * A QEMU that starts opens its images for reading first. Who but reads a header has it open for a moment only.
 */
export async function isUsedElsewhere({ dev, ino }: Pick<Stats, "dev" | "ino">): Promise<boolean> {
  const processes = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const open = await Promise.all(
    processes.filter((pid) => Number(pid) !== process.pid).map((pid) => uses(`/proc/${pid}`, dev, ino)),
  );
  return open.includes(true);
}

async function uses(folder: string, dev: number, ino: number): Promise<boolean> {
  const descriptors = await readdir(`${folder}/fd`).catch((): string[] => []);
  const found = await Promise.all(
    descriptors.map(async (descriptor) => {
      const file = await stat(`${folder}/fd/${descriptor}`).catch(() => undefined);
      if (file?.ino !== ino || file.dev !== dev) {
        return false;
      }
      const [comm, info] = await Promise.all(
        [`${folder}/comm`, `${folder}/fdinfo/${descriptor}`].map((path) =>
          readFile(path, "latin1").catch(() => ""),
        ),
      );
      const flags = Number.parseInt(/^flags:\s*([0-7]+)/m.exec(info ?? "")?.[1] ?? "0", 8);
      return comm?.startsWith("qemu") === true || (flags & (O_WRONLY | O_RDWR)) !== 0;
    }),
  );
  return found.includes(true);
}

const { O_RDWR, O_WRONLY } = constants;
