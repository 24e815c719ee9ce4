import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Finding } from "../../../lib/engine/contract.ts";
import { quote } from "../../../lib/util/quote.ts";
import { traced } from "../../../lib/util/trace.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import { instanceFolder } from "../lifecycle/removal.ts";
import { readImageSync } from "../qcow2/image.ts";
import { makePrivateFolder } from "../storage/pool.ts";
import { activeLayers } from "../xml/disks.ts";
import { ownFormats } from "../xml/own-files.ts";

/**
 * Folders above layers and base images that QEMU's user cannot enter: a guest whose disk is below one does
 * not start. Permissions of files do not matter, since libvirt changes them at every start. Changes nothing.
 * Only root can find out what another user may do.
 */
export async function findUnreachable(engine: LibvirtEngine, all: readonly Managed[]): Promise<Finding[]> {
  const user = await triedUser(engine);
  if (user === null) {
    return [];
  }
  const pool = await engine.pool();
  const shared = ["instances", "images"].map((name) => join(pool, name));
  const owners = ownersOf(all);
  const wanted = [...new Set([...shared, ...owners.keys()])];
  const entered = await enteredBy(user, wanted);
  if (entered === null) {
    return [];
  }
  const hidden = wanted.filter((folder) => !entered.has(folder));
  if (hidden.length === 0) {
    return [];
  }

  const open = await enteredBy(user, [...new Set(hidden.flatMap(wayTo))]);
  if (open === null) {
    return [];
  }
  /** Names of the instances that cannot start, by the folder that QEMU cannot enter. */
  const closed = new Map<string, Set<string>>();
  for (const folder of hidden) {
    const first = wayTo(folder).find((each) => !open.has(each));
    if (first === undefined) {
      continue;
    }
    const names = closed.get(first) ?? new Set();
    for (const name of owners.get(folder) ?? []) {
      names.add(name);
    }
    closed.set(first, names);
  }
  const found = [...closed].map(([folder, names]) =>
    describe(folder, [...names], { user, pool, shared, all }),
  );
  return (await Promise.all(found)).flat();
}

/**
 * Lets QEMU's user enter one of strata's own folders again. False if it can already, or the folder is not
 * strata's.
 */
export async function openFolder(
  engine: LibvirtEngine,
  all: readonly Managed[],
  finding: Finding,
): Promise<boolean> {
  const { qemuUser } = await engine.host();
  const same = (await findUnreachable(engine, all)).some(
    ({ subject, repair }) => subject === finding.subject && repair !== undefined,
  );
  if (same) {
    await makePrivateFolder(finding.subject, qemuUser);
  }
  return same;
}

interface User {
  readonly uid: number;
  readonly gid: number;
}

/** QEMU's user, if it is another one and what it may do can be found out. */
async function triedUser(engine: LibvirtEngine): Promise<User | null> {
  if (engine.session || process.getuid?.() !== 0) {
    return null;
  }
  const { qemuUser } = await engine.host();
  return qemuUser?.uid === 0 ? null : qemuUser;
}

/** The instances, by the folders of their layers and of the files that those stand on. */
function ownersOf(all: readonly Managed[]): ReadonlyMap<string, ReadonlySet<string>> {
  const owners = new Map<string, Set<string>>();
  for (const each of all) {
    const { name, metadata } = each;
    for (const folder of new Set([metadata.folder, ...chainOf(each).map((path) => dirname(path))])) {
      const names = owners.get(folder);
      if (names === undefined) {
        owners.set(folder, new Set([name]));
      } else {
        names.add(name);
      }
    }
  }
  return owners;
}

function chainOf({ document, metadata }: Managed): string[] {
  const formats = ownFormats(document, metadata);
  const chain = new Set<string>();
  for (const top of activeLayers(document)) {
    try {
      let format = formats.get(top) ?? "qcow2";
      for (let at: string | null = top; at !== null && !chain.has(at); ) {
        chain.add(at);
        const header = readImageSync(at, format);
        at = header.backing;
        format = header.backingFormat === "raw" ? "raw" : "qcow2";
      }
    } catch {
      // A file that is missing or cannot be read has a finding of its own.
    }
  }
  return [...chain];
}

interface Surroundings {
  readonly user: User;
  readonly pool: string;
  /** Folders of the pool that all instances share. */
  readonly shared: readonly string[];
  readonly all: readonly Managed[];
}

async function describe(
  folder: string,
  names: readonly string[],
  { user, pool, shared, all }: Surroundings,
): Promise<Finding[]> {
  const found = await stat(folder).catch(() => null);
  if (found === null) {
    return [];
  }
  const owner = all.find(({ domain }) => folder === instanceFolder(pool, domain.uuid));
  const rights = `mode ${(found.mode & 0o7777).toString(8).padStart(4, "0")}, user ${found.uid}, group ${found.gid}`;
  const named = names.slice(0, NAMED).map((name) => `"${name}"`);
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : "";
  const whose = names.length === 0 ? "no guest can start there" : `${named.join(", ")}${more} cannot start`;
  const detail = `the user that QEMU runs as (uid ${user.uid}) cannot enter ${folder} (${rights}): ${whose}`;
  const finding = { kind: "folder-unreachable", subject: folder, detail };
  if (owner !== undefined || shared.includes(folder)) {
    return [
      {
        ...finding,
        ...(owner === undefined ? {} : { instance: owner.name }),
        repair: `give it to QEMU's group (${user.gid}), with mode 0710`,
      },
    ];
  }
  return [{ ...finding, detail: `${detail}; \`chmod o+x ${quote(folder)}\` allows it` }];
}

/** How many instances a finding names. */
const NAMED = 3;

/** The folders from the root down to a folder, and the folder itself. */
function wayTo(folder: string): string[] {
  const above = dirname(folder);
  return above === folder ? [folder] : [...wayTo(above), folder];
}

/** How many folders one process tries. */
const AT_ONCE = 400;

/**
 * The folders that a user may enter, in the groups that libvirt starts QEMU with; null if that cannot be
 * found out.
 */
async function enteredBy(user: User, folders: readonly string[]): Promise<ReadonlySet<string> | null> {
  const entered = new Set<string>();
  for (let at = 0; at < folders.length; at += AT_ONCE) {
    const paths = folders.slice(at, at + AT_ONCE);
    const some =
      (await listAs(user, paths, "--init-groups")) ?? (await listAs(user, paths, "--clear-groups"));
    if (some === null) {
      return null;
    }
    for (const path of some) {
      entered.add(path);
    }
  }
  return entered;
}

/**
 * null if the process could not be started: a user without a name, for example, has no groups to look up.
 */
async function listAs(user: User, folders: readonly string[], groups: string): Promise<string[] | null> {
  const { execa } = await import("execa");
  // A user who may enter a folder, and only such a user, can stat `folder/.`.
  const inside = ["/", ...folders].map((folder) => join(folder, "/").concat("."));
  const ids = [`--reuid=${user.uid}`, `--regid=${user.gid}`, groups];
  const args = [...ids, "stat", "--printf=%n\\0", "--", ...inside];
  const settings = { reject: false, stdin: "ignore", stderr: "ignore", env: { LC_ALL: "C" } } as const;
  const { stdout } = await traced("setpriv", args, execa("setpriv", args, settings));
  const [root, ...entered] = String(stdout).split("\0").slice(0, -1);
  return root === undefined ? null : entered.map((path) => path.slice(0, -2) || "/");
}
