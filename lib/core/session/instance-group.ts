import { answer } from "../api/answer.ts";
import type { InstanceInfo, Ref, StrataInstances } from "../api/strata.ts";
import { logs, openConsole } from "../guest/console.ts";
import { move } from "../host/cluster.ts";
import { adopt, candidates, release } from "../instances/adoption.ts";
import { hasAutostart, setAutostart } from "../instances/autostart.ts";
import { clone } from "../instances/clone.ts";
import { eject } from "../instances/eject.ts";
import { admit, handOver, takeIn } from "../instances/hand-over.ts";
import { info, listing } from "../instances/info.ts";
import { launch } from "../instances/launch.ts";
import { restart, start, stop, suspend } from "../instances/lifecycle.ts";
import { exportDisk, exportInstance, importInstance } from "../instances/portable.ts";
import { optimize } from "../instances/read-images.ts";
import { purge, recover, recoverFrom, remove } from "../instances/removal.ts";
import { renameInstance } from "../instances/rename.ts";
import { resize } from "../instances/resources.ts";
import { wait } from "../instances/wait.ts";
import { carryOut, gather, locate, requireFree, type Work } from "./engines.ts";
import { askOwners, by, instanceOf, listOf } from "./groups.ts";
import type { Session } from "./session.ts";

/** Instances of all engines of the configuration: each call goes to the engine that has the instance. */
export function instances(session: Session): StrataInstances {
  const at = (name: string) => locate(session, name);
  const each = (
    names: string | readonly string[],
    check: (owner: Session, mine: readonly string[]) => Promise<Work>,
  ) => carryOut(session, listOf(names), (name) => name, check);
  return {
    async launch(options) {
      await requireFree(session, options.name);
      return launch(session, options, options);
    },
    list: async (options) => [...(await listing(session, options)).instances],
    listing: async (options) => answer(await listing(session, options)),
    async info(names, options) {
      const found: readonly InstanceInfo[] = await askOwners(session, names, (owner, mine) =>
        info(owner, mine, options),
      );
      return answer(found.toSorted(by(({ name }) => name)));
    },
    start: (names, options) => each(names, (owner, mine) => start(owner, mine, options, options)),
    stop: (names, options) => each(names, (owner, mine) => stop(owner, mine, options, options)),
    restart: (names, options) => each(names, (owner, mine) => restart(owner, mine, options, options)),
    suspend: (names, options) => each(names, (owner, mine) => suspend(owner, mine, options)),
    async resize(name, options) {
      const { signal, progress, warn, ...change } = options;
      await resize(await at(name), name, change, options);
    },
    delete: (names, options) =>
      carryOut(session, refsOf(names), instanceOf, (owner, mine, alone) =>
        remove(owner, mine, { ...options, alone }, options),
      ),
    recover: (names, options) => each(names, (owner, mine) => recover(owner, mine, options)),
    recoverFrom: (folder, options) => recoverFrom(session, folder, options),
    purge: async (options) => [...(await gather(session, (owner) => purge(owner, options)))].sort(),
    async clone(name, options) {
      await requireFree(session, options?.name);
      return clone(await at(name), name, options, options);
    },
    export: async (name, to, options = {}) => exportInstance(await at(name), name, to, options, options),
    exportDisk: async (name, path, options = {}) => exportDisk(await at(name), name, path, options, options),
    async import(from, options) {
      await requireFree(session, options?.name);
      return importInstance(session, from, options, options);
    },
    handOver: async (name, receiver, options) => handOver(await at(name), name, receiver, options),
    takeIn: async (from, options) => {
      await takeIn(session, from, options, options);
    },
    admit: async (name, options) => admit(session, name, options.id, options),
    wait: (names, options) => each(names, (owner, mine) => wait(owner, mine, options, options)),
    async *logs(name, options) {
      yield* logs(await at(name), name, options);
    },
    console: async (name, options) => openConsole(await at(name), name, options),
    autostart: async (name) => hasAutostart(await at(name), name),
    setAutostart: async (name, on, options) => setAutostart(await at(name), name, on, options),
    eject: async (name, options) => ({
      drive: await eject(await at(name), name, options?.drive, options),
    }),
    async rename(name, to, options) {
      await requireFree(session, to === name ? undefined : to);
      await renameInstance(await at(name), name, to, options);
    },
    optimize: async (names, options) => answer(await optimize(session, listOf(names), options)),
    move: async (name, member, options) => move(await at(name), name, member, options),
    candidates: () => candidates(session),
    adopt: (name, options) => adopt(session, name, options, options),
    release: async (name, options) => release(await at(name), name, options),
  };
}

function refsOf(names: string | readonly string[]): Ref[] {
  return listOf(names).map((instance) => ({ instance }));
}
