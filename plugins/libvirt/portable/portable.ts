import type { Portable } from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import type { LibvirtEngine } from "../engine.ts";
import { accept, checkParcel } from "./accept.ts";
import { flatten } from "./flatten.ts";
import { hold } from "./hold.ts";
import { pack } from "./pack.ts";

export function portableGroup(engine: LibvirtEngine): Portable {
  return {
    pack: async (lock, of, context) => pack(engine, lockedId(engine, lock), of, context),
    hold: async (lock, options, context) => hold(engine, lockedId(engine, lock), options, context),
    flatten: async (lock, of, to, context) => flatten(engine, lockedId(engine, lock), of, to, context),
    async check(parcel, spec) {
      await checkParcel(engine, parcel, spec);
    },
    accept: (parcel, arriving, spec, context) => accept(engine, parcel, arriving, spec, context),
  };
}
