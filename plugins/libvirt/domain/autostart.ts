import type { Autostart } from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { getLocked, getManaged, type LibvirtEngine } from "../engine.ts";

/** libvirt starts these domains with its daemon, in session mode with the user's. */
export function autostartGroup(engine: LibvirtEngine): Autostart {
  return {
    get: async (id) => (await getManaged(engine, id)).domain.getAutostart(),
    set: async (lock, on) => {
      const { domain } = await getLocked(engine, lockedId(engine, lock));
      await domain.setAutostart(on);
    },
  };
}
