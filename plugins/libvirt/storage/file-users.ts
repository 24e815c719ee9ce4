import { constants, type Stats, statSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";

/** Files that processes on this host have open or locked. */
export interface FileUsers {
  /** True if a process has the file open, or locked the way QEMU locks its images. */
  has(path: string): Promise<boolean>;
}

/**
 * Files that QEMU or another program has locked. QEMU locks an image that is open for writing at known
 * offsets; the kernel lists such locks by inode, even those of processes that we cannot inspect.
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

/**
 * Inodes with a lock of the kind that QEMU takes. The device is ignored, because btrfs reports a different
 * one than `stat`.
 */
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
 * True if a QEMU has the file open, or any other process has it open for writing, as far as we can see: root
 * sees every process. A QEMU that is starting opens its images for reading first. Programs that only read a
 * header have it open for a moment.
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
