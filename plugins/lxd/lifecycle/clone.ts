import { randomUUID } from "node:crypto";
import type { CloneSpec, Context, Instance } from "../../../lib/engine/contract.ts";
import { readNics } from "../domain/devices.ts";
import { nicDevices } from "../domain/placement.ts";
import { AUTOSTART, operationKeys, ownKeys, treeKeys } from "../domain/records.ts";
import { requireStopped } from "../domain/view.ts";
import type { LxdEngine } from "../engine.ts";
import { getReady } from "../journal/recovery.ts";
import { clearUnfinished, make, requireFree, seedKeys } from "./creation.ts";
import { isMachine, metaKeys } from "./machines.ts";

/**
 * LXD copies the disk, without copying data on pools that support it, and everything that is not set here.
 */
export async function clone(
  engine: LxdEngine,
  id: string,
  copy: CloneSpec,
  context: Context,
): Promise<Instance> {
  const original = await getReady(engine, id);
  requireStopped(original, "Only stopped instances can be cloned");
  const { name, seed, record } = copy;
  context.signal.throwIfAborted();
  await clearUnfinished(engine, name, context);
  await requireFree(engine, name);
  const nics = readNics(original.instance.devices).map(({ network }) => ({ network }));
  context.progress({ phase: "Copying instance" });
  const uuid = randomUUID();
  const body = {
    type: original.instance.type,
    source: { type: "copy", source: original.name, instance_only: true },
    config: {
      ...seedKeys(seed),
      ...(isMachine(original) ? metaKeys(seed) : {}),
      ...ownKeys({ id: uuid, record }),
      ...treeKeys({ standsOn: null, amended: {} }),
      ...operationKeys({ kind: "create" }),
      ...(original.config[AUTOSTART] === undefined ? {} : { [AUTOSTART]: "false" }),
    },
    devices: await nicDevices(engine, { nics }),
  };
  return make(engine, { name, uuid, body, member: original.member }, context);
}
