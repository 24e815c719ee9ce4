import { checkEach } from "../../errors/check-each.ts";
import { failure } from "../../errors.ts";
import { answer } from "../api/answer.ts";
import type {
  CallOptions,
  SnapshotRef,
  StrataAliases,
  StrataDisks,
  StrataEngine,
  StrataGuest,
  StrataImages,
  StrataMaintenance,
  StrataMounts,
  StrataNetworks,
  StrataPlugins,
  StrataSettings,
  StrataSnapshots,
  StrataSsh,
  TakeGroupOptions,
} from "../api/strata.ts";
import { exec, shell } from "../guest/commands.ts";
import { forward } from "../guest/forward.ts";
import { mount, umount } from "../guest/mounts.ts";
import { exclude, include } from "../guest/ssh-include.ts";
import { sshLogins } from "../guest/ssh-logins.ts";
import { transfer } from "../guest/transfer.ts";
import { audit, checkChoice, repair } from "../host/audit.ts";
import { diskUsage } from "../host/disk-usage.ts";
import { doctor } from "../host/doctor.ts";
import { findImages, placeOf, removeImages } from "../host/images.ts";
import { isBridged, networks as networksOf, setBridged } from "../host/networks.ts";
import { addAlias, aliases as aliasesOf, preferContext, removeAliases } from "../instances/aliases.ts";
import {
  addDisk,
  checkRemoveDisk,
  disks as disksOf,
  excludeDisk,
  growDisk,
  removeDisk,
} from "../instances/disks.ts";
import { getInstance } from "../instances/instances.ts";
import { remove } from "../instances/removal.ts";
import { findGroup } from "../snapshots/groups.ts";
import { snapshotRef } from "../snapshots/ref.ts";
import { checkRestore, restore } from "../snapshots/restore.ts";
import { restoreGroup } from "../snapshots/restore-group.ts";
import { describeSnapshot, renameSnapshot, snapshots as trees } from "../snapshots/snapshots.ts";
import { snapshot } from "../snapshots/take.ts";
import { takeGroup } from "../snapshots/take-group.ts";
import { waitReady } from "./access.ts";
import { askAll, byEngine, carryOut, gather, locate } from "./engines.ts";
import { plugins as pluginsOf } from "./plugins.ts";
import { toSnapshotRef } from "./refs.ts";
import { contextOf, type Session } from "./session.ts";
import { getSetting, setSetting, settingKeys } from "./settings.ts";

export function snapshots(session: Session): StrataSnapshots {
  const at = ({ instance }: { readonly instance: string }) => locate(session, instance);
  const take: StrataSnapshots["take"] = async (instance, options) =>
    snapshot(await at({ instance }), instance, options, options);
  const list: StrataSnapshots["list"] = async (names) => {
    const found = await askOwners(session, names, trees);
    return answer(found.toSorted(by(({ instance }) => instance)));
  };
  return {
    take,
    async takeGroup(given, options) {
      const names = [...new Set(given)];
      const [only] = names;
      if (only === undefined) {
        return [];
      }
      return names.length === 1 ? [await take(only, options)] : takeTogether(session, names, options);
    },
    async findGroup(name) {
      const { id, snapshots: refs, deleted } = await findGroup(session, name);
      return { id, snapshots: refs, deleted };
    },
    restoreGroup: async (name, options) => restoreGroup(await findGroup(session, name), options, options),
    list,
    async tree(instance) {
      const [tree] = await list(instance);
      return tree ?? { instance, snapshots: [], standsOn: null };
    },
    async restore(given, options) {
      const ref = await toSnapshotRef(session, given);
      return restore(await at(ref), ref, options, options);
    },
    async checkRestore(given, options) {
      const ref = await toSnapshotRef(session, given);
      return answer(await checkRestore(await at(ref), ref, options));
    },
    async delete(refs, options) {
      const items = await checkEach(listOf(refs), (given) => toSnapshotRef(session, given));
      await carryOut(session, items, instanceOf, (owner, mine, alone) =>
        remove(owner, mine, { alone }, options),
      );
    },
    async rename(given, name, options) {
      const ref = await toSnapshotRef(session, given);
      await renameSnapshot(await at(ref), ref, name, options);
      return snapshotRef(ref.instance, name);
    },
    async describe(given, comment, options) {
      const ref = await toSnapshotRef(session, given);
      await describeSnapshot(await at(ref), ref, comment, options);
    },
  };
}

/** Only instances of one engine have moments in common. */
async function takeTogether(
  session: Session,
  names: readonly string[],
  options?: TakeGroupOptions,
): Promise<SnapshotRef[]> {
  const [[owner, mine] = [session, names], ...others] = await byEngine(session, names, (name) => name);
  if (others.length > 0) {
    throw failure("UNSUPPORTED", {
      what: "taking snapshots of instances of several engines at one moment",
      engine: owner.engineName,
      reason: `it does not have ${others.flatMap(([, theirs]) => theirs).join(", ")}`,
    });
  }
  return takeGroup(owner, mine, options, options);
}

export function disks(session: Session): StrataDisks {
  const at = (name: string) => locate(session, name);
  return {
    list: async (name) => answer(await disksOf(await at(name), name)),
    add: async (name, size, options) => answer(await addDisk(await at(name), name, size, options)),
    grow: async (name, disk, size, options) => growDisk(await at(name), name, disk, size, options),
    remove: async (name, disk, options) => removeDisk(await at(name), name, disk, options),
    checkRemove: async (name, disk) => checkRemoveDisk(await at(name), name, disk),
    exclude: async (name, disk, options) => excludeDisk(await at(name), name, disk, true, options),
    include: async (name, disk, options) => excludeDisk(await at(name), name, disk, false, options),
  };
}

export function guest(session: Session): StrataGuest {
  return {
    exec: async (name, argv, options) => exec(await locate(session, name), name, argv, options),
    shell: async (name, options) => shell(await locate(session, name), name, options),
    transfer: (sources, target, options) => transfer(session, listOf(sources), target, options, options),
  };
}

export function ssh(session: Session): StrataSsh {
  const found = async (names?: string | readonly string[], options?: CallOptions) => {
    const logins = await askOwners(session, names, (owner, mine) => sshLogins(owner, mine, options));
    return logins.toSorted(by(({ instance }) => instance));
  };
  return {
    logins: found,
    async config(names, options) {
      const { hostSection } = await import("../../guest/ssh-config.ts");
      return (await found(names, options)).map(hostSection).join("\n");
    },
    include: (options) => include(session, options),
    exclude: () => exclude(session),
    forward: async (instance, options) => forward(await locate(session, instance), instance, options),
  };
}

export function mounts(session: Session): StrataMounts {
  return {
    mount: (source, places, options) =>
      carryOut(session, listOf(places), instanceOf, (owner, mine) =>
        mount(owner, source, mine, options, options),
      ),
    umount: (places, options) =>
      carryOut(session, listOf(places), instanceOf, (owner, mine) => umount(owner, mine, options)),
  };
}

export function networks(session: Session): StrataNetworks {
  return {
    list: () => networksOf(session),
    bridge: async (name, options) => setBridged(await locate(session, name), name, true, options),
    async isBridged(name) {
      const owner = await locate(session, name);
      return isBridged(owner, await getInstance(owner, name));
    },
  };
}

export function images(session: Session): StrataImages {
  return {
    find: (options) => findImages(session, options, options),
    list: async () => answer(await (await session.images()).list()),
    build: async ({ distribution, variant, release, ...options }) =>
      answer(
        await (await session.images()).build(
          { distribution, variant, ...(release === undefined ? {} : { release }), ...placeOf(options) },
          contextOf(options),
        ),
      ),
    pull: async (name, options = {}) =>
      answer(await (await session.images()).pull(name, placeOf(options), contextOf(options))),
    import: async (source, options = {}) => {
      const named = options.name === undefined ? {} : { name: options.name };
      const store = await session.images();
      return answer(await store.import(source, { ...named, ...placeOf(options) }, contextOf(options)));
    },
    rename: async (image, name, options = {}) =>
      answer(await (await session.images()).rename(image, name, placeOf(options), contextOf(options))),
    delete: async (names, options) => answer(await removeImages(session, listOf(names), options)),
  };
}

export function aliases(session: Session): StrataAliases {
  return {
    list: () => aliasesOf(session),
    add: (name, alias) => addAlias(session, name, alias),
    delete: (names) => removeAliases(session, listOf(names)),
    prefer: (context) => preferContext(session, context),
  };
}

export function settings(session: Session): StrataSettings {
  return {
    keys: () => settingKeys(session),
    get: (key) => getSetting(session, key),
    set: (key, value) => setSetting(session, key, value),
  };
}

export function engine(session: Session): StrataEngine {
  return {
    info: async () => answer(await session.info()),
    async version() {
      const opened = await session.engine();
      return opened.version === undefined ? (await session.info()).engine : opened.version();
    },
    waitReady: async (options) => answer(await waitReady(session, options, options)),
  };
}

export function plugins(session: Session): StrataPlugins {
  return { list: () => pluginsOf(session) };
}

export function maintenance(session: Session): StrataMaintenance {
  return {
    doctor: () => doctor(session),
    usage: async () => answer(await diskUsage(session)),
    async audit(options = {}) {
      const { deep } = options;
      const wanted = deep === undefined ? {} : { deep };
      return [...(await gather(session, (owner) => audit(owner, wanted, options)))];
    },
    async repair(given, options = {}) {
      const findings = listOf(given);
      const { choice } = options;
      if (choice !== undefined) {
        checkChoice(findings, choice);
      }
      const { found, failures } = await askAll(session, (owner) => repair(owner, findings, choice, options));
      // Only the engine of a finding knows it; the other engines have nothing to repair.
      for (const { engine, error } of failures) {
        options.warn?.(`engine ${engine}: ${error.message}`);
      }
      return [...found];
    },
  };
}

/** Asks the engines of the named instances, or all engines about all of theirs. */
export async function askOwners<T>(
  session: Session,
  names: string | readonly string[] | undefined,
  work: (owner: Session, mine?: readonly string[]) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  if (names === undefined) {
    return gather(session, (owner) => work(owner));
  }
  const found: T[] = [];
  for (const [owner, mine] of await byEngine(session, listOf(names), (name) => name)) {
    found.push(...(await work(owner, mine)));
  }
  return found;
}

/** One, or several. */
export function listOf<T>(given: T | readonly T[]): readonly T[] {
  return Array.isArray(given) ? given : [given as T];
}

export const instanceOf = ({ instance }: { readonly instance: string }) => instance;

export function by<T>(key: (item: T) => string): (a: T, b: T) => number {
  return (a, b) => (key(a) < key(b) ? -1 : 1);
}
