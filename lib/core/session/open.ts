import type { OpenStrataOptions, Strata } from "../api/strata.ts";
import { exec, execIn } from "../guest/guest.ts";
import { mount, umount } from "../guest/mounts.ts";
import { transfer } from "../guest/transfer.ts";
import { audit, checkChoice, repair } from "../host/audit.ts";
import { move } from "../host/cluster.ts";
import { doctor } from "../host/doctor.ts";
import { events } from "../host/events.ts";
import { findImages, removeImages } from "../host/images.ts";
import { networks } from "../host/networks.ts";
import { adopt, candidates, release } from "../instances/adoption.ts";
import { addAlias, aliases, preferContext, removeAliases } from "../instances/aliases.ts";
import { clone } from "../instances/clone.ts";
import { info, listing } from "../instances/info.ts";
import { getInstance } from "../instances/instances.ts";
import { launch } from "../instances/launch.ts";
import { restart, START_TIMEOUT, start, startOne, stop, suspend } from "../instances/lifecycle.ts";
import { optimize } from "../instances/read-images.ts";
import { purge, recover, recoverFrom, remove } from "../instances/removal.ts";
import { restore, snapshot, snapshots } from "../snapshots/snapshots.ts";
import { waitReady } from "./access.ts";
import { askAll, byEngine, carryOut, gather, locate, requireFree, type Work } from "./engines.ts";
import { plugins } from "./plugins.ts";
import { contextOf, openSession, type Session } from "./session.ts";
import { getSetting, setSetting, settingKeys } from "./settings.ts";

/** Opens strata with the user's settings. An engine is contacted at the first call that needs it. */
export async function openStrata(options: OpenStrataOptions = {}): Promise<Strata> {
  const session = await openSession(options);
  /** The session with the engine that has the instance. */
  const at = (name: string) => locate(session, name);
  const each = (
    names: readonly string[],
    check: (owner: Session, mine: readonly string[]) => Promise<Work>,
  ) => carryOut(session, names, (name) => name, check);
  const ask = async <T>(
    names: readonly string[] | undefined,
    work: (owner: Session, mine?: readonly string[]) => Promise<readonly T[]>,
  ): Promise<readonly T[]> => {
    if (names === undefined) return gather(session, (owner) => work(owner));
    const found: T[] = [];
    for (const [owner, mine] of await byEngine(session, names, (name) => name))
      found.push(...(await work(owner, mine)));
    return found;
  };
  return {
    engine: () => session.info(),
    waitReady: (waitOptions, call) => waitReady(session, waitOptions, call),
    plugins: () => plugins(session),
    async launch(launchOptions, call) {
      await requireFree(session, launchOptions.name);
      return launch(session, launchOptions, call);
    },
    list: async () => [...(await listing(session)).instances],
    listing: () => listing(session),
    info: async (names) => [...(await ask(names, info))].sort(by(({ name }) => name)),
    start: (names, startOptions, call) =>
      each(names, (owner, mine) => start(owner, mine, startOptions, call)),
    stop: (names, stopOptions, call) => each(names, (owner, mine) => stop(owner, mine, stopOptions, call)),
    move: async (name, member, call) => move(await at(name), name, member, call),
    candidates: () => candidates(session),
    adopt: (name, adoptOptions, call) => adopt(session, name, adoptOptions, call),
    release: async (name, call) => release(await at(name), name, call),
    async clone(name, cloneOptions, call) {
      await requireFree(session, cloneOptions?.name);
      return clone(await at(name), name, cloneOptions, call);
    },
    suspend: (names, call) => each(names, (owner, mine) => suspend(owner, mine, call)),
    optimize: (names, call) => optimize(session, names, call),
    restart: (names, restartOptions, call) =>
      each(names, (owner, mine) => restart(owner, mine, restartOptions, call)),
    exec: async (name, argv, execOptions) => exec(await at(name), name, argv, execOptions),
    async shell(name, { tty }, call) {
      const context = contextOf(call);
      const owner = await at(name);
      const instance = await getInstance(owner, name);
      if (instance.state !== "running") await startOne(owner, instance, START_TIMEOUT, context);
      return execIn(owner, await getInstance(owner, name), [], { tty, signal: context.signal });
    },
    transfer: (sources, target, transferOptions, call) =>
      transfer(session, sources, target, transferOptions, call),
    mount: (source, places, mountOptions, call) =>
      carryOut(session, places, instanceOf, (owner, mine) => mount(owner, source, mine, mountOptions, call)),
    umount: (places, call) =>
      carryOut(session, places, instanceOf, (owner, mine) => umount(owner, mine, call)),
    snapshots: async (names) => [...(await ask(names, snapshots))].sort(by(({ instance }) => instance)),
    snapshot: async (name, snapshotOptions, call) => snapshot(await at(name), name, snapshotOptions, call),
    restore: async (ref, restoreOptions, call) => restore(await at(ref.instance), ref, restoreOptions, call),
    remove: (refs, removeOptions, call) =>
      carryOut(session, refs, instanceOf, (owner, mine, alone) =>
        remove(owner, mine, { ...removeOptions, alone }, call),
      ),
    recover: (names, call) => each(names, (owner, mine) => recover(owner, mine, call)),
    recoverFrom: (folder, call) => recoverFrom(session, folder, call),
    purge: async (call) => [...(await gather(session, (owner) => purge(owner, call)))].sort(),
    aliases: () => aliases(session),
    alias: (name, alias) => addAlias(session, name, alias),
    unalias: (names) => removeAliases(session, names),
    prefer: (context) => preferContext(session, context),
    events: (signal) => events(session, signal),
    networks: () => networks(session),
    settingKeys: () => settingKeys(session),
    get: (key) => getSetting(session, key),
    set: (key, value) => setSetting(session, key, value),
    find: (findOptions, call) => findImages(session, findOptions, call),
    removeImages: (names, call) => removeImages(session, names, call),
    images: async () => (await session.images()).list(),
    buildImage: async (buildOptions, call) => (await session.images()).build(buildOptions, contextOf(call)),
    doctor: () => doctor(session),
    audit: async (auditOptions, call) => [
      ...(await gather(session, (owner) => audit(owner, auditOptions, call))),
    ],
    async repair(findings, { choice } = {}, call) {
      if (choice !== undefined) checkChoice(findings, choice);
      const { found, failures } = await askAll(session, (owner) => repair(owner, findings, choice, call));
      // Whose finding it is only its engine knows: the others fail at nothing of theirs.
      for (const { engine, error } of failures) contextOf(call).warn?.(`engine ${engine}: ${error.message}`);
      return [...found];
    },
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}

const instanceOf = ({ instance }: { readonly instance: string }) => instance;

function by<T>(key: (item: T) => string): (a: T, b: T) => number {
  return (a, b) => (key(a) < key(b) ? -1 : 1);
}
