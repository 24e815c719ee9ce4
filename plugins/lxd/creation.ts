import { randomUUID } from "node:crypto";
import type { Context, Instance, InstanceSpec, Seed } from "../../lib/backend/contract.ts";
import { failure } from "../../lib/errors.ts";
import { DEFAULT_NIC, limitKeys, nicDevices, ROOT } from "./devices.ts";
import { type Engine, findManaged, getManaged, writeConfig } from "./engine.ts";
import { isStatus } from "./errors.ts";
import { hold } from "./hold.ts";
import { importImage } from "./images.ts";
import { thisProcess } from "./lease.ts";
import { placement } from "./placement.ts";
import { KEYS, mountKeys, operationKeys, ownKeys } from "./records.ts";
import { removeInstance, settle } from "./recovery.ts";
import { type Config, type Devices, instanceShape } from "./rest/shapes.ts";
import { toInstance } from "./view.ts";

export async function create(engine: Engine, spec: InstanceSpec, context: Context): Promise<Instance> {
  const { name, image, resources, member } = spec;
  await clearUnfinished(engine, name, context);
  if (await isTaken(engine, name)) throw failure("INSTANCE_EXISTS", { name });
  const { pool, network } = await placement(engine);
  await importImage(engine, image, context);
  const uuid = randomUUID();
  const id = `${name}/${uuid}`;
  const lease = JSON.stringify({ holder: randomUUID(), ...(await thisProcess()), beat: 0 });
  const config: Config = {
    ...limitKeys(resources),
    ...seedKeys(spec.seed),
    ...ownKeys({ id: uuid, record: spec.record }),
    ...mountKeys(spec.mounts),
    ...operationKeys({ kind: "create" }),
    [KEYS.lock]: lease,
  };
  const devices: Devices = {
    [ROOT]: { type: "disk", path: "/", pool: pool.name, size: String(resources.disk) },
    ...(network === undefined ? {} : { [DEFAULT_NIC]: await defaultNic(engine, network) }),
    ...nicDevices(spec.networks),
  };
  context.progress({ phase: "Creating instance" });
  engine.holds.set(id, lease);
  try {
    const source = { type: "image", fingerprint: image.sha256 };
    const body = { name, type: "container", profiles: [], source, config: withoutEmpty(config), devices };
    await engine.client.run("POST", "/1.0/instances", body, { ...context, query: { target: member } });
    // LXD cannot stop an unpacking that has begun.
    context.signal.throwIfAborted();
    await writeConfig(engine, name, { ...operationKeys(null), [KEYS.lock]: "" });
    return toInstance(await getManaged(engine, id));
  } catch (error) {
    const made = await findManaged(engine, name).catch(() => undefined);
    if (made?.id === id) {
      await settle(engine, made);
      await removeInstance(engine, made);
    }
    if (isTakenError(error)) throw failure("INSTANCE_EXISTS", { name }, error);
    throw error;
  } finally {
    engine.holds.delete(id);
  }
}

/** LXD refuses empty values in the config of what is new. */
function withoutEmpty(config: Config): Config {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== ""));
}

function isTakenError(error: unknown): boolean {
  return error instanceof Error && /already (exists|in use|used)|name .* is taken/i.test(error.message);
}

/** True where any instance has the name, foreign ones included. */
async function isTaken({ client }: Engine, name: string): Promise<boolean> {
  try {
    await client.get(`/1.0/instances/${name}`, instanceShape);
    return true;
  } catch (error) {
    if (isStatus(error, 404)) return false;
    throw error;
  }
}

/** cloud-init's data, where both its datasource of LXD and the templates of images look for them. */
function seedKeys({ userData, vendorData }: Seed): Config {
  return { "cloud-init.user-data": userData, "cloud-init.vendor-data": vendorData };
}

async function defaultNic(engine: Engine, network: string): Promise<Record<string, string>> {
  const { listNetworks } = await import("./placement.ts");
  const found = (await listNetworks(engine)).find(({ name }) => name === network);
  if (found === undefined)
    throw failure("INVALID_VALUE", {
      what: "local.lxd.network",
      value: network,
      reason: "LXD knows no network of that name",
    });
  return found.managed
    ? { type: "nic", network, name: DEFAULT_NIC }
    : { type: "nic", nictype: "bridged", parent: network, name: DEFAULT_NIC };
}

/** Takes away what a launch or a removal that died has left under the name; not while one is at work. */
async function clearUnfinished(engine: Engine, name: string, context: Context): Promise<void> {
  const managed = await findManaged(engine, name);
  const kind = managed?.operation?.kind;
  if (managed === undefined || (kind !== "create" && kind !== "purge")) return;
  try {
    await using _hold = await hold(engine, managed.id, { wait: 0 }, context);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "INSTANCE_NOT_FOUND" && code !== "BUSY") throw error;
  }
}
