import { createHash } from "node:crypto";
import { chmod, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { IdMap, Mount } from "../../../lib/engine/contract.ts";
import { quote } from "../../../lib/util/quote.ts";
import { fileError } from "../errors.ts";

/** Owner, on the host, of files that unmapped guest ids create. NFS squashes to this id too. */
const NOBODY_ID = 65534;
/** How many ids there are; the last one is not a valid id. */
const ALL = 2 ** 32 - 1;

const NAME = /^virtiofsd-[0-9a-f]{16}$/;

/** True for file names that `writeLauncher` creates. */
export function isLauncher(file: string): boolean {
  return NAME.test(file);
}

/**
 * The lines of /proc/PID/uid_map for a map, and of gid_map: id inside, id outside, count. The guest's root must
 * be mapped; if the map does not say to whom, it becomes `nobody`. An empty map leaves ids as they are.
 */
export function idMapLines(map: readonly IdMap[]): string {
  if (map.length === 0) {
    return `0 0 ${ALL}\n`;
  }
  const lines = map.map(({ host, guest }) => `${guest} ${host} 1\n`);
  if (map.some(({ guest }) => guest === 0)) {
    return lines.join("");
  }
  let nobody = NOBODY_ID;
  while (map.some(({ host }) => host === nobody)) {
    nobody -= 1;
  }
  return [`0 ${nobody} 1\n`, ...lines].join("");
}

/**
 * A script that libvirt starts instead of virtiofsd. It does what libvirt's XML cannot express:
 *
 * - It enters the source and checks where it is before serving it, so that nobody who can write to a parent
 *   folder can replace it with a link to another folder.
 * - It runs virtiofsd in a user namespace with the guest's ids mapped. The kernel applies the map, and in the
 *   namespace virtiofsd has no power over files of unmapped ids.
 *
 * The source is bound to /mnt in a mount namespace of its own, where virtiofsd finds it even if it may not
 * enter the parent folders. The process that libvirt started becomes virtiofsd; no other stays.
 */
export function launcherScript(
  { source, uidMap, gidMap }: Pick<Mount, "source" | "uidMap" | "gidMap">,
  virtiofsd: string,
): string {
  const map = (lines: string) => quote(lines.replaceAll("\n", "\\n"));
  return `#!/bin/sh
# Written by strata, and again whenever it is needed.
set -eu
cd -P -- ${quote(source)}
[ "$PWD" = ${quote(source)} ] || { echo "another folder has taken the place of the source" >&2; exit 1; }
left=$#
while [ "$left" -gt 0 ]; do
  arg=$1; shift; left=$((left - 1))
  case $arg in
    source=* | --shared-dir=*) arg="${"$"}{arg%%=*}=/mnt" ;;
    --shared-dir) shift; left=$((left - 1)); arg=--shared-dir=/mnt ;;
  esac
  set -- "$@" "$arg"
done
# Lives until it is joined; it ends by itself should that never be.
holder=$(unshare --user -- sh -c 'echo $$; exec sleep 60 </dev/null >/dev/null 2>&1' &)
printf ${map(idMapLines(uidMap))} > "/proc/$holder/uid_map"
printf ${map(idMapLines(gidMap))} > "/proc/$holder/gid_map"
exec unshare --mount --propagation slave -- sh -c '
  mount --rbind . /mnt &&
  exec nsenter --user="/proc/$0/ns/user" --setuid 0 --setgid 0 -- sh -c "kill \\$0; exec \\"\\$@\\"" "$0" "$@"
' "$holder" ${quote(virtiofsd)} "$@"
`;
}

/** Writes the launcher of a mount into the instance's folder; resolves to its path. */
export async function writeLauncher(folder: string, mount: Mount, virtiofsd: string): Promise<string> {
  const script = launcherScript(mount, virtiofsd);
  // Named by its contents, so that an older definition never refers to a different launcher.
  const path = join(folder, `virtiofsd-${createHash("sha256").update(script).digest("hex").slice(0, 16)}`);
  try {
    await writeFile(path, script, { mode: 0o700 });
    await chmod(path, 0o700);
  } catch (error) {
    throw fileError(error, path);
  }
  return path;
}

/** Removes the launchers that are not among `used`. */
export async function removeLaunchers(folder: string, used: readonly string[]): Promise<void> {
  const left = (await readdir(folder)).filter(isLauncher).map((file) => join(folder, file));
  for (const path of left) {
    if (!used.includes(path)) {
      await rm(path, { force: true });
    }
  }
}
