import { mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { context, locked, lockOf } from "../../lib/engine/conformance/fixture.ts";
import { asStrataError } from "../../lib/errors.ts";
import libvirt from "../../plugins/libvirt/index.ts";
import { connect } from "../../plugins/libvirt/rpc/index.ts";

/**
 * What tests and benches make on the host's libvirt and in its folders has their pid in its name. So the
 * next run can tell what those have left that were killed, and takes it away.
 */
const NAMES = [
  /^story-[a-z]+-(\d+)$/,
  /^(?:conf|foreign)-(\d+)-[0-9a-f]{8}a$/,
  /^(?:strata-test|bench)-[a-z]+-(\d+)(?:-[\w-]+)?$/,
  // Anything may follow: what names may have is part of what is tested.
  /^strata-test-shape-(\d+)-/,
];
const FOLDERS = [/^strata-(?:test|daemon)-(\d+)-\w{6}$/];

/** Makes a folder for this process. */
export function ownFolder(kind: "test" | "daemon", parent = tmpdir()): Promise<string> {
  return mkdtemp(join(parent, `strata-${kind}-${process.pid}-`));
}

/** Takes away what runs that were killed have left on the host's libvirt and in folders, once unless told. */
export function clearLeftovers(when?: "again"): Promise<void> {
  if (when !== undefined) {
    cleared = undefined;
  }
  cleared ??= clearDomains().then(clearFolders);
  return cleared;
}

let cleared: Promise<void> | undefined;

async function clearDomains(): Promise<void> {
  const log = { error() {}, warn() {}, info() {}, debug() {} };
  await using engine = await libvirt.open({
    settings: { uri: "qemu:///system" },
    dataFolder: tmpdir(),
    log,
  });
  await using connection = await connect("qemu:///system");
  const { instances } = engine;
  for (const { name } of await connection.listDomains()) {
    if (!(await isLeft(name, NAMES))) {
      continue;
    }
    const instance = await instances.find(name);
    if (instance === null) {
      await removeDomain(name);
    } else {
      try {
        await using _lock = await locked({ engine }, instance);
        await instances.remove(lockOf(instance.id), context());
      } catch (error) {
        // Another run does the same, or a child of the dead one still works on it.
        if (!["BUSY", "INSTANCE_NOT_FOUND"].includes(asStrataError(error).code)) {
          throw error;
        }
      }
    }
  }
}

/** One that is none of strata's, or not any more. */
async function removeDomain(name: string): Promise<void> {
  await execa("virsh", ["destroy", name], { reject: false });
  await execa("virsh", ["undefine", name, "--snapshots-metadata", "--managed-save", "--keep-nvram"], {
    reject: false,
  });
}

/** Takes away the folders of tests that were killed. */
export async function clearFolders(): Promise<void> {
  for (const folder of await leftFolders(tmpdir())) {
    await clearFolder(folder);
  }
}

/** The folders of tests that were killed. */
export async function leftFolders(parent: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(parent)) {
    if (await isLeft(name, FOLDERS)) {
      found.push(join(parent, name));
    }
  }
  return found;
}

async function isLeft(name: string, patterns: readonly RegExp[]): Promise<boolean> {
  const owner = patterns.flatMap((pattern) => pattern.exec(name)?.[1] ?? [])[0];
  return owner !== undefined && !(await isAlive(owner));
}

/** True while the process runs, unless its number is another program's by now. */
async function isAlive(pid: string): Promise<boolean> {
  return readlink(`/proc/${pid}/exe`).then(
    (program) => program.includes("node"),
    (error: NodeJS.ErrnoException) => error.code !== "ENOENT",
  );
}

/** Ends every process that works in the folder, then takes away its mounts, loop devices and files. */
export async function clearFolder(path: string): Promise<void> {
  await endProcesses(path);
  for (const mount of await mountsBelow(path)) {
    await execa("umount", ["--lazy", mount], { reject: false });
  }
  const { stdout } = await execa("losetup", ["--list", "--noheadings", "--output", "NAME,BACK-FILE"]);
  for (const [, device = "", file = ""] of stdout.matchAll(/^(\S+)\s+(.*)$/gm)) {
    if (file.startsWith(`${path}/`)) {
      await execa("losetup", ["--detach", device], { reject: false });
    }
  }
  await rm(path, { recursive: true, force: true });
}

/** Kills every process that works in the folder, and waits until they are gone. */
export async function endProcesses(path: string): Promise<void> {
  for (const pid of await processesOf(path)) {
    kill(pid);
  }
  while ((await processesOf(path)).length > 0) {
    await delay(50);
  }
}

/** One that has ended meanwhile is fine. */
function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) {
      throw error;
    }
  }
}

/** Daemons and what they start have the folder in their environment or their arguments. */
async function processesOf(path: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) {
      continue;
    }
    const texts = await Promise.all(
      ["environ", "cmdline"].map((file) => readFile(join("/proc", entry, file), "utf8").catch(() => "")),
    );
    const [environment = "", command = ""] = texts;
    if (environment.includes(`=${path}/`) || command.includes(`${path}/`)) {
      found.push(Number(entry));
    }
  }
  return found;
}

async function mountsBelow(path: string): Promise<string[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return lines
    .map((line) => line.split(" ")[4] ?? "")
    .filter((mount) => mount.startsWith(`${path}/`))
    .reverse();
}
