import type { CallOptions, TransferSource, TransferTarget } from "../api/strata.ts";
import { getInstance } from "../instances/instances.ts";
import { locate } from "../session/engines.ts";
import { contextOf, type Session } from "../session/session.ts";
import { copy, type Guests } from "./copying.ts";
import { execRunning } from "./guest.ts";

/** Copies files between this host and instances of this session. */
export async function transfer(
  session: Session,
  sources: readonly TransferSource[],
  target: TransferTarget,
  options: { readonly recursive?: boolean; readonly parents?: boolean } = {},
  call?: CallOptions,
): Promise<void> {
  const guests: Guests = {
    async check(name) {
      await getInstance(await locate(session, name), name);
    },
    end: (name) => ({
      name,
      run: async (argv, signal) => execRunning(await locate(session, name), name, argv, { signal }),
    }),
    note: (text) => session.log.warn(text),
  };
  await copy(guests, sources, target, options, contextOf(call));
}
