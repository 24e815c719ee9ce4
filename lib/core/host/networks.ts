import type { Instance, NicSpec } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import type { CallOptions, NetworkInfo } from "../api/strata.ts";
import { getInstance, requireStopped, whileLocked } from "../instances/instances.ts";
import { requireFeature, requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";

/** Setting with the network for `bridged`. */
export const BRIDGED_NETWORK = "local.bridged-network";
/** The name that means this network wherever one is named. */
const BRIDGED = "bridged";

/** The networks that instances can be on, by name. */
export async function networks(session: Session): Promise<NetworkInfo[]> {
  const group = await requireGroup(session, "network.list", "listing networks", (engine) => engine.networks);
  return (await group.list()).toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Why a value is refused for the setting; undefined if it is valid. */
export async function bridgedNetworkRefusal(session: Session, value: string): Promise<string | undefined> {
  if (value === "") {
    return undefined;
  }
  const names = (await networks(session)).map(({ name }) => name);
  return names.includes(value) ? undefined : `must be one of ${names.join(", ")}`;
}

/** Checks the interfaces of a request before anything is created, and resolves `bridged`. */
export async function checkNics(session: Session, specs: readonly NicSpec[]): Promise<NicSpec[]> {
  if (specs.length === 0) {
    return [];
  }
  await requireFeature(session, "network.list", "a further network");
  const names = (await networks(session)).map(({ name }) => name);
  const { instances } = await session.engine();
  const taken = (await instances.list()).flatMap(({ nics }) => nics.map(({ mac }) => mac.toLowerCase()));
  const checked: NicSpec[] = [];
  for (const spec of specs) {
    const network =
      spec.network === BRIDGED && !names.includes(BRIDGED) ? await bridged(session) : spec.network;
    if (!names.includes(network)) {
      throw failure("INVALID_VALUE", {
        what: "the network",
        value: network,
        reason: `must be one of ${names.join(", ")}`,
      });
    }
    if (spec.mac === undefined) {
      checked.push({ ...spec, network });
      continue;
    }
    const mac = spec.mac.toLowerCase();
    const reason = macRefusal(mac, taken);
    if (reason !== undefined) {
      throw failure("INVALID_VALUE", { what: "the MAC address", value: spec.mac, reason });
    }
    taken.push(mac);
    checked.push({ ...spec, network, mac });
  }
  return checked;
}

function macRefusal(mac: string, taken: readonly string[]): string | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) {
    return "must be six pairs of hexadecimal digits, such as 52:54:00:12:34:56";
  }
  if (Number.parseInt(mac.slice(0, 2), 16) % 2 === 1) {
    return "multicast addresses cannot be assigned to an interface (the first byte must be even)";
  }
  return taken.includes(mac) ? "must be unique, and another interface has it" : undefined;
}

async function bridged(session: Session): Promise<string> {
  const network = (await session.settings())[BRIDGED_NETWORK] ?? "";
  if (network !== "") {
    return network;
  }
  throw failure("USAGE", {
    reason: `no bridged network is set; choose one with \`strata set ${BRIDGED_NETWORK}=NAME\` (\`strata networks\` lists them)`,
  });
}

/** True if the instance has an interface on the bridged network. */
export async function isBridged(session: Session, { nics }: Instance): Promise<boolean> {
  const network = (await session.settings())[BRIDGED_NETWORK] ?? "";
  return nics.some((nic) => nic.network === network);
}

/**
 * Adds an interface on the bridged network to a stopped instance that has none. It cannot be removed again.
 */
export async function setBridged(
  session: Session,
  name: string,
  wanted: boolean,
  call?: CallOptions,
): Promise<void> {
  const instance = await getInstance(session, name);
  if (!wanted) {
    if (!(await isBridged(session, instance))) {
      return;
    }
    throw failure("INVALID_VALUE", {
      what: "bridged",
      value: "false",
      reason: "an interface cannot be removed; restore a snapshot from before it was added",
    });
  }
  const attach = await requireGroup(
    session,
    "network.attach",
    "adding an interface",
    (engine) => engine.networks?.attach,
  );
  const [nic] = await checkNics(session, [{ network: await bridged(session) }]);
  const context = contextOf(call);
  await whileLocked(session, instance, context, async (lock) => {
    requireStopped(lock.instance, "Interfaces can be added only to stopped instances");
    if (nic !== undefined && !(await isBridged(session, lock.instance))) {
      await attach(lock, nic, context);
    }
  });
}
