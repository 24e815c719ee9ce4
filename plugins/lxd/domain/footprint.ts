import { z } from "zod";
import type { Footprint } from "../../../lib/engine/contract.ts";
import type { LxdEngine } from "../engine.ts";
import { DEFAULT_NIC, readNics } from "./devices.ts";
import { getManaged, instancePath } from "./managed.ts";

const stateShape = z.object({ disk: z.record(z.string(), z.object({ usage: z.number() })).nullish() });

/** What an instance is on its host. Pools of the kind `dir` count nothing. */
export async function footprint(engine: LxdEngine, id: string): Promise<Footprint> {
  const { name, config, instance } = await getManaged(engine, id);
  const { value } = await engine.client.get(instancePath(name, "state"), stateShape);
  const usage = value.disk?.root?.usage ?? 0;
  const own = config[`volatile.${DEFAULT_NIC}.hwaddr`];
  const macs = [...(own === undefined ? [] : [own]), ...readNics(instance.devices).map(({ mac }) => mac)];
  return { macs, hostDisk: usage > 0 ? BigInt(usage) : null };
}
