import { text } from "node:stream/consumers";
import type { ExecSession, GuestMount } from "../engine/contract.ts";
import { failure } from "../errors.ts";

/** Runs argv as root in a guest. */
export type RootExec = (argv: readonly string[]) => Promise<ExecSession>;

/** New parent folders get the owner of the folder that they are created in. */
const MOUNT = `grep -qs "^$1 " /proc/mounts && exit 0
at=$2 made=
while [ ! -d "$at" ]; do made=$at; at=\${at%/*}; at=\${at:-/}; done
mkdir -p "$2" || exit
[ -z "$made" ] || chown -hR "$(stat -c %u:%g "$at")" "$made"
exec mount -t "$3" \${4:+-o "$4"} "$1" "$2"`;

const UNMOUNT = `while grep -qs "^$1 " /proc/mounts; do umount "$2" || exit; done`;

/** The order to mount in: a folder comes after the one that contains it. */
export function outermostFirst(mounts: readonly GuestMount[]): GuestMount[] {
  return [...mounts].sort((a, b) => (a.target < b.target ? -1 : 1));
}

/** Mounts in a guest, unless it is mounted already. Rejects with MOUNT_FAILED and the guest's own reason. */
export async function mountInside(name: string, exec: RootExec, mount: GuestMount): Promise<void> {
  const { source, target, filesystem, options } = mount;
  const complaint = await failureOf(exec, [MOUNT, "mount", source, target, filesystem, options]);
  if (complaint === null) {
    return;
  }
  const unknown = /unknown filesystem type|No such device/.test(complaint);
  throw failure("MOUNT_FAILED", {
    name,
    target,
    reason: unknown ? `its kernel does not support ${filesystem}` : complaint,
  });
}

/**
 * Unmounts a folder in a guest if it is mounted. Rejects with MOUNT_BUSY while a process in the guest uses
 * it.
 */
export async function unmountInside(name: string, exec: RootExec, mount: GuestMount): Promise<void> {
  const { source, target } = mount;
  const complaint = await failureOf(exec, [UNMOUNT, "umount", source, target]);
  if (complaint === null) {
    return;
  }
  if (/busy/.test(complaint)) {
    throw failure("MOUNT_BUSY", { name, target });
  }
  throw failure("MOUNT_FAILED", { name, target, reason: complaint });
}

/** The error output of a shell script; null if it succeeds. */
async function failureOf(exec: RootExec, script: readonly string[]): Promise<string | null> {
  const running = await exec(["sh", "-c", ...script]);
  running.stdin.end();
  running.stdout.resume();
  // mount(8) adds an indented hint.
  const complaints = (await text(running.stderr)).split("\n").filter((line) => /^\S/.test(line));
  const { code } = await running.exit;
  return code === 0 ? null : (complaints.at(-1) ?? `the command exited with status ${code}`);
}
