import type { Check, OpenOptions } from "../../lib/engine/contract.ts";
import { placement } from "./domain/placement.ts";
import { type LxdEngine, openEngine } from "./engine.ts";
import { lxdError } from "./errors.ts";
import { engineInfo, ONLY } from "./info.ts";
import { machineRefusal } from "./lifecycle/machines.ts";

/** Looks at everything the engine needs of its server. Never rejects. */
export async function checkHost(options: OpenOptions): Promise<Check[]> {
  try {
    await using engine = await openEngine(options);
    const checks = [checkServer, checkPool, checkMachines];
    const found = await Promise.all(checks.map((check) => guarded(check, engine)));
    return found.flat();
  } catch (error) {
    const { message, code } = lxdError(error);
    const fix = code === "PERMISSION_DENIED" ? {} : { fix: "apt-get install lxd, then: lxd init" };
    return [{ what: "server", ok: false, detail: message, ...fix }];
  }
}

async function guarded(check: (engine: LxdEngine) => Promise<Check[]>, engine: LxdEngine): Promise<Check[]> {
  try {
    return await check(engine);
  } catch (error) {
    const { message, hint } = lxdError(error);
    return [{ what: "engine", ok: false, detail: message, ...(hint === undefined ? {} : { fix: hint }) }];
  }
}

async function checkServer(engine: LxdEngine): Promise<Check[]> {
  const { engine: version } = await engineInfo(engine);
  const { environment } = await engine.server();
  const place = environment.server_clustered
    ? `a member of a cluster, ${environment.server_name}`
    : environment.server_name;
  return [{ what: "server", ok: true, detail: `${version} at ${engine.client.endpoint().name}: ${place}` }];
}

async function checkPool(engine: LxdEngine): Promise<Check[]> {
  const { pool, network } = await placement(engine);
  return [
    { what: "pool", ok: true, detail: `"${pool.name}" (${pool.driver})` },
    network === undefined
      ? {
          what: "network",
          ok: false,
          detail: "none: instances have no network interface",
          fix: "lxc network create lxdbr0, or choose one: strata set local.lxd.network=NAME",
        }
      : { what: "network", ok: true, detail: `"${network}"` },
  ];
}

async function checkMachines(engine: LxdEngine): Promise<Check[]> {
  const refusal = await machineRefusal(engine);
  const detail = refusal === null ? "from images that are disks" : `none: ${refusal}; ${ONLY}`;
  return [{ what: "virtual machines", ok: true, detail }];
}
