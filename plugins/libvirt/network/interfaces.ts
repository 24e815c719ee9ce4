import type { Context, Networks, NicSpec } from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { failure } from "../../../lib/errors.ts";
import { define, type LibvirtEngine } from "../engine.ts";
import { ENGINE } from "../errors.ts";
import { getReady } from "../journal/recover.ts";
import { requireShutOff } from "../lifecycle/power.ts";
import { elements, find, parse } from "../xml/document.ts";
import { addInterface } from "../xml/domain.ts";
import { ensureNetwork, newMac } from "./networks.ts";

/** Rejects unless all networks exist, and starts those that are not active. Session mode has none. */
export async function requireNetworks(engine: LibvirtEngine, nics: readonly NicSpec[]): Promise<void> {
  const [first] = nics;
  if (first !== undefined && engine.session) {
    throw failure("UNSUPPORTED", {
      what: `the network "${first.network}"`,
      engine: ENGINE,
      reason: NO_NETWORKS,
    });
  }
  for (const { network } of nics) {
    await ensureNetwork(engine, network);
  }
}

/** Why session mode cannot attach networks. */
export const NO_NETWORKS =
  "in session mode a guest has only QEMU's own network; use the system mode for others";

/** A single redefinition: all interfaces are added, or none. */
async function attach(engine: LibvirtEngine, id: string, nic: NicSpec, context: Context): Promise<void> {
  const managed = await getReady(engine, id, context);
  await requireShutOff(managed, "Interfaces can be added only to stopped instances");
  await requireNetworks(engine, [nic]);
  addInterface(managed.document, { network: nic.network, mac: nic.mac ?? newMac() });
  await define(engine, managed.document);
}

export function networkGroup(engine: LibvirtEngine): Networks {
  return {
    attach: async (lock, nic, context) => attach(engine, lockedId(engine, lock), nic, context),
    list: async () => {
      const networks = await engine.connection.listNetworks();
      return Promise.all(
        networks.map(async (network) => {
          const document = await parse(await network.getXml());
          const mode =
            find(document, "forward")?.attributes.mode ??
            (elements(document, "forward").length > 0 ? "nat" : "isolated");
          const bridge = find(document, "bridge")?.attributes.name;
          const description = bridge === undefined ? "libvirt network" : `libvirt network on ${bridge}`;
          return { name: network.name, type: mode, description };
        }),
      );
    },
  };
}
