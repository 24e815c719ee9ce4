import { z } from "zod";
import type { NicSpec } from "../../../lib/engine/contract.ts";
import { DEFAULT_NIC } from "../domain/devices.ts";
import type { Config } from "../rest/shapes.ts";

const KEY = "cloud-init.network-config";
const shape = z.object({ ethernets: z.record(z.string(), z.unknown()) });

/**
 * cloud-init's configuration of further interfaces, `eth` and a number from `first` on, in addition to the
 * config's own. Without it, cloud-init configures only the first interface. Configuration that the user wrote
 * is not changed.
 */
export function networkKeys(nics: readonly NicSpec[], before: Config = {}, first = 1): Config {
  const known = readEthernets(before[KEY]);
  if (nics.length === 0 || known === undefined) {
    return {};
  }
  const ethernets = { ...known };
  for (const [index, { mode }] of nics.entries()) {
    const at = first + index;
    const metric = { "dhcp4-overrides": { "route-metric": 100 + 100 * at } };
    ethernets[`eth${at}`] =
      mode === "manual" ? { dhcp4: false, optional: true } : { dhcp4: true, ...metric, optional: true };
  }
  // JSON is YAML too.
  return { [KEY]: JSON.stringify({ version: 2, ethernets }) };
}

function readEthernets(text: string | undefined): Record<string, unknown> | undefined {
  if (text === undefined || text === "") {
    return { [DEFAULT_NIC]: { dhcp4: true } };
  }
  try {
    return shape.parse(JSON.parse(text)).ethernets;
  } catch {
    return undefined;
  }
}
