import type { Instance, InstanceOutline } from "../../../lib/engine/contract.ts";
import { RECORD_VERSION } from "../../../lib/engine/contract.ts";
import { failure, isStrataError } from "../../../lib/errors.ts";
import { fewAtOnce } from "../../../lib/util/few-at-once.ts";
import { type LibvirtEngine, readManaged, readOwnMetadata } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { addressesOf, leaseReader } from "../network/networks.ts";
import { type Domain, DomainState, ListDomainsFlags, StatsTypes } from "../rpc/index.ts";
import type { Metadata } from "../xml/metadata.ts";
import { readDocument } from "../xml/reader.ts";
import { readState, type States, toInstance, visibleRecord } from "./view.ts";

/** All instances, each with everything that its domain says. */
export async function list(engine: LibvirtEngine): Promise<Instance[]> {
  const leases = leaseReader(engine);
  const states = await readStates(engine);
  return each(engine, states.domains, async (domain) => {
    const managed = await readManaged(domain, readDocument);
    return managed === undefined ? undefined : toInstance(managed, leases, states);
  });
}

/** All instances in outline: the states of all in two calls, and for each domain only strata's metadata. */
export async function outline(
  engine: LibvirtEngine,
  { addresses: wanted = true }: { readonly addresses?: boolean } = {},
): Promise<InstanceOutline[]> {
  const leases = leaseReader(engine);
  const states = await readStates(engine);
  return each(engine, states.domains, async (domain) => {
    const metadata = await readRecord(domain);
    if (metadata === undefined) {
      return undefined;
    }
    const state = await readState(domain, metadata, states);
    const managed = wanted && state === "running" ? await readManaged(domain) : undefined;
    const addresses = managed === undefined ? [] : await addressesOf(managed, leases);
    return {
      id: domain.uuid,
      name: metadata.name ?? domain.name,
      state,
      record: visibleRecord(metadata),
      addresses,
    };
  });
}

/** The states of all domains, in two calls. */
async function readStates({
  connection,
}: LibvirtEngine): Promise<States & { readonly domains: readonly Domain[] }> {
  const [stats, saved] = await Promise.all([
    connection.allDomainStats(StatsTypes.STATE),
    connection.listDomains(ListDomainsFlags.MANAGEDSAVE),
  ]);
  const withMemory = new Set(saved.map(({ uuid }) => uuid));
  const states = new Map(
    stats.map(({ domain, params }) => [
      domain.uuid,
      { state: Number(params["state.state"]), reason: Number(params["state.reason"]) },
    ]),
  );
  return {
    domains: stats.map(({ domain }) => domain),
    stateOf: async ({ uuid }) => states.get(uuid) ?? { state: DomainState.NOSTATE, reason: 0 },
    isSaved: async ({ uuid }) => withMemory.has(uuid),
  };
}

/** strata's metadata in a domain; undefined for a foreign domain. */
async function readRecord(domain: Domain): Promise<Metadata | undefined> {
  const metadata = await readOwnMetadata(domain);
  if (metadata === undefined) {
    return undefined;
  }
  const { version } = metadata.record;
  if (version > RECORD_VERSION) {
    throw failure("RECORD_TOO_NEW", {
      name: domain.name,
      reason: `it has version ${version}, and this strata reads versions up to ${RECORD_VERSION}`,
    });
  }
  return metadata;
}

/** What can be read of each domain. One that was removed meanwhile or cannot be read is left out. */
async function each<T>(
  engine: LibvirtEngine,
  domains: readonly Domain[],
  read: (domain: Domain) => Promise<T | undefined>,
): Promise<T[]> {
  const found = await fewAtOnce(domains, async (domain) => {
    try {
      return await read(domain);
    } catch (error) {
      if (isLibvirt(error, "NO_DOMAIN")) {
        return undefined;
      }
      if (!isStrataError(error)) {
        throw error;
      }
      engine.log.warn(`${domain.name} is not listed: ${error.message}`);
      return undefined;
    }
  });
  return found.filter((value) => value !== undefined);
}
