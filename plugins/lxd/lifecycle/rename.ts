import type { Context, Instance } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { whenIdle, writeConfig } from "../domain/changes.ts";
import { getManaged, instancePath } from "../domain/managed.ts";
import { operationKeys } from "../domain/records.ts";
import { requireStopped, toInstance } from "../domain/view.ts";
import type { LxdEngine } from "../engine.ts";
import { isSaid } from "../errors.ts";
import { CLOUD_INSTANCE, finish, getReady } from "../journal/recovery.ts";
import { NAME_TAKEN } from "../messages.ts";
import { clearUnfinished, requireFree } from "./creation.ts";

/** LXD renames the instance with its snapshots; the lock and our records are in the config, which goes along. */
export async function rename(engine: LxdEngine, id: string, to: string, context: Context): Promise<Instance> {
  const managed = await getReady(engine, id);
  requireStopped(managed, "Only stopped instances can be renamed");
  const { name, config } = managed;
  context.signal.throwIfAborted();
  if (to === name) {
    return toInstance(managed);
  }
  await clearUnfinished(engine, to, context);
  await requireFree(engine, to);
  const cloudInstance = config[CLOUD_INSTANCE] ?? "";
  await writeConfig(engine, name, operationKeys({ kind: "rename-instance", to, cloudInstance }));
  const failed = await whenIdle(() => engine.client.run("POST", instancePath(name), { name: to })).then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  // The change may have been made despite an error: what there is decides. It cannot be undone any more then.
  await finish(engine, id).catch(() => finish(engine, id));
  const renamed = await getManaged(engine, id);
  if (renamed.name === to) {
    return toInstance(renamed);
  }
  throw isSaid(failed?.error, NAME_TAKEN)
    ? failure("INSTANCE_EXISTS", { name: to }, failed?.error)
    : (failed?.error ?? failure("INTERNAL", { reason: `"${name}" was renamed and has its old name` }));
}
