import { waitReady } from "./access.ts";
import { addAlias, aliases, preferContext, removeAliases } from "./aliases.ts";
import type { OpenStrataOptions, Strata } from "./api.ts";
import { doctor } from "./doctor.ts";
import { exec, execIn } from "./guest.ts";
import { info, list } from "./info.ts";
import { getInstance } from "./instances.ts";
import { launch } from "./launch.ts";
import { restart, START_TIMEOUT, start, startOne, stop, suspend } from "./lifecycle.ts";
import { purge, recover, remove } from "./removal.ts";
import { contextOf, openSession } from "./session.ts";
import { getSetting, setSetting, settingKeys } from "./settings.ts";
import { restore, snapshot, snapshots } from "./snapshots.ts";
import { transfer } from "./transfer.ts";

/** Opens strata with the user's settings. The engine is contacted at the first call that needs it. */
export async function openStrata(options: OpenStrataOptions = {}): Promise<Strata> {
  const session = await openSession(options);
  return {
    engine: () => session.info(),
    waitReady: (waitOptions, call) => waitReady(session, waitOptions, call),
    launch: (launchOptions, call) => launch(session, launchOptions, call),
    list: () => list(session),
    info: (names) => info(session, names),
    start: (names, startOptions, call) => start(session, names, startOptions, call),
    stop: (names, stopOptions, call) => stop(session, names, stopOptions, call),
    suspend: (names, call) => suspend(session, names, call),
    restart: (names, restartOptions, call) => restart(session, names, restartOptions, call),
    exec: (name, argv, execOptions) => exec(session, name, argv, execOptions),
    async shell(name, { tty }, call) {
      const context = contextOf(call);
      const instance = await getInstance(session, name);
      if (instance.state !== "running") await startOne(session, instance, START_TIMEOUT, context);
      return execIn(session, await getInstance(session, name), [], { tty, signal: context.signal });
    },
    transfer: (sources, target, transferOptions, call) =>
      transfer(session, sources, target, transferOptions, call),
    snapshots: (names) => snapshots(session, names),
    snapshot: (instance, snapshotOptions, call) => snapshot(session, instance, snapshotOptions, call),
    restore: (ref, restoreOptions, call) => restore(session, ref, restoreOptions, call),
    remove: (refs, removeOptions, call) => remove(session, refs, removeOptions, call),
    recover: (names) => recover(session, names),
    purge: (call) => purge(session, call),
    aliases: () => aliases(session),
    alias: (name, alias) => addAlias(session, name, alias),
    unalias: (names) => removeAliases(session, names),
    prefer: (context) => preferContext(session, context),
    settingKeys: () => settingKeys(session),
    get: (key) => getSetting(session, key),
    set: (key, value) => setSetting(session, key, value),
    images: async () => (await session.images()).list(),
    buildImage: async (buildOptions, call) => (await session.images()).build(buildOptions, contextOf(call)),
    doctor: () => doctor(session),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}
