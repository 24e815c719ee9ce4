import { checkEach } from "../../errors/check-each.ts";
import { answer } from "../api/answer.ts";
import type { OpenStrataOptions, Strata } from "../api/strata.ts";
import { events } from "../host/events.ts";
import { remove } from "../instances/removal.ts";
import { carryOut, prepareAll } from "./engines.ts";
import * as groups from "./groups.ts";
import { instances } from "./instance-group.ts";
import { resolveRef, toRef } from "./refs.ts";
import { openSession } from "./session.ts";

/** Opens strata with the user's settings. An engine is contacted by the first call that needs it. */
export async function openStrata(options: OpenStrataOptions = {}): Promise<Strata> {
  const session = await openSession(options);
  return {
    instances: instances(session),
    snapshots: groups.snapshots(session),
    disks: groups.disks(session),
    guest: groups.guest(session),
    ssh: groups.ssh(session),
    mounts: groups.mounts(session),
    networks: groups.networks(session),
    images: groups.images(session),
    aliases: groups.aliases(session),
    settings: groups.settings(session),
    engine: groups.engine(session),
    plugins: groups.plugins(session),
    maintenance: groups.maintenance(session),
    resolve: (text) => resolveRef(session, text),
    async delete(refs, deleteOptions) {
      const items = await checkEach(groups.listOf(refs), (given) => toRef(session, given));
      await carryOut(session, items, groups.instanceOf, (owner, mine, alone) =>
        remove(owner, mine, { ...deleteOptions, alone }, deleteOptions),
      );
    },
    async checkDelete(refs, deleteOptions) {
      const items = await checkEach(groups.listOf(refs), (given) => toRef(session, given));
      await prepareAll(session, items, groups.instanceOf, (owner, mine) =>
        remove(owner, mine, { ...deleteOptions, alone: false }, deleteOptions),
      );
    },
    async *events(eventsOptions) {
      const signal = eventsOptions?.signal ?? new AbortController().signal;
      for await (const event of events(session, signal)) {
        yield answer(event);
      }
    },
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}
