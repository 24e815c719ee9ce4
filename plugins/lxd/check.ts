import type { Check, OpenOptions } from "../../lib/engine/contract.ts";
import { placement } from "./domain/placement.ts";
import { type LxdEngine, openEngine } from "./engine.ts";
import { lxdError } from "./errors.ts";
import { FLAVOURS, type Flavour } from "./flavour.ts";
import { engineInfo, ONLY } from "./info.ts";
import { machineRefusal } from "./lifecycle/machines.ts";

/** Looks at everything the engine needs of its server. Never rejects. */
export async function checkHost(flavour: Flavour, options: OpenOptions): Promise<Check[]> {
  try {
    await using engine = await openEngine(flavour, options);
    const checks = [checkServer, checkPool, checkMachines];
    const found = await Promise.all(checks.map((check) => guarded(check, engine)));
    return found.flat();
  } catch (error) {
    const { message, code } = lxdError(error, flavour);
    const fix = code === "PERMISSION_DENIED" ? {} : { fix: flavour.setup };
    return [{ what: "server", ok: false, detail: message, ...fix }];
  }
}

async function guarded(check: (engine: LxdEngine) => Promise<Check[]>, engine: LxdEngine): Promise<Check[]> {
  try {
    return await check(engine);
  } catch (error) {
    const { message, hint } = lxdError(error, engine.flavour);
    return [{ what: "engine", ok: false, detail: message, ...(hint === undefined ? {} : { fix: hint }) }];
  }
}

async function checkServer(engine: LxdEngine): Promise<Check[]> {
  const { engine: version } = await engineInfo(engine);
  const { environment } = await engine.server();
  const place = environment.server_clustered
    ? `a member of a cluster, ${environment.server_name}`
    : environment.server_name;
  const other = FLAVOURS.find(({ name }) => name === environment.server && name !== engine.flavour.name);
  const hint = other === undefined ? "" : `; strata has an engine of its own for it, ${other.name}`;
  const detail = `${version} at ${engine.client.endpoint().name}: ${place}${hint}`;
  return [{ what: "server", ok: true, detail }];
}

async function checkPool(engine: LxdEngine): Promise<Check[]> {
  const { pool, network } = await placement(engine);
  const { name, client, bridge } = engine.flavour;
  return [
    { what: "pool", ok: true, detail: `"${pool.name}" (${pool.driver})` },
    network === undefined
      ? {
          what: "network",
          ok: false,
          detail: "none: instances have no network interface",
          fix: `${client} network create ${bridge}, or choose one: strata set local.${name}.network=NAME`,
        }
      : { what: "network", ok: true, detail: `"${network}"` },
  ];
}

async function checkMachines(engine: LxdEngine): Promise<Check[]> {
  const refusal = await machineRefusal(engine);
  const detail = refusal === null ? "from images that are disks" : `none: ${refusal}; ${ONLY}`;
  return [{ what: "virtual machines", ok: true, detail }];
}
