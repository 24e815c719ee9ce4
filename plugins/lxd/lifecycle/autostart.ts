import type { Autostart } from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { writeConfig } from "../domain/changes.ts";
import { getManaged } from "../domain/managed.ts";
import { AUTOSTART } from "../domain/records.ts";
import type { LxdEngine } from "../engine.ts";
import { getReady } from "../journal/recovery.ts";

export function autostartGroup(engine: LxdEngine): Autostart {
  return {
    get: async (id) => (await getManaged(engine, id)).config[AUTOSTART] === "true",
    async set(lock, on) {
      const { name } = await getReady(engine, lockedId(engine, lock));
      await writeConfig(engine, name, { [AUTOSTART]: String(on) });
    },
  };
}
