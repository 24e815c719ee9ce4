import type { Context, Networks, NicSpec } from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { whenIdle } from "../domain/changes.ts";
import { readNics } from "../domain/devices.ts";
import { instancePath } from "../domain/managed.ts";
import { listNetworks, nicDevices } from "../domain/placement.ts";
import { requireStopped } from "../domain/view.ts";
import type { LxdEngine } from "../engine.ts";
import { getReady } from "../journal/recovery.ts";
import { isMachine, noInterfaces } from "../lifecycle/machines.ts";
import { networkKeys } from "./network-config.ts";

export function networkGroup(engine: LxdEngine): Networks {
  return {
    list: async () =>
      (await listNetworks(engine)).map(({ name, type, description, config }) => ({
        name,
        type,
        description: description || config["ipv4.address"] || "",
      })),
    attach: async (lock, nic, context) => attach(engine, lockedId(engine, lock), nic, context),
  };
}

async function attach(engine: LxdEngine, id: string, nic: NicSpec, { signal }: Context): Promise<void> {
  const managed = await getReady(engine, id);
  if (isMachine(managed)) {
    throw noInterfaces(engine);
  }
  requireStopped(managed, "Interfaces can be added only to stopped instances");
  const first = readNics(managed.instance.devices).length + 1;
  const devices = await nicDevices(engine, { nics: [nic], first });
  const config = networkKeys([nic], managed.config, first);
  signal.throwIfAborted();
  await whenIdle(() => engine.client.run("PATCH", instancePath(managed.name), { config, devices }));
}
