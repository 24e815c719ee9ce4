import { Domain } from "./domain/domain.ts";
import type { Gap } from "./event-queue.ts";
import type { DomainEvent, DomainEventKind } from "./events.ts";
import { type CallLimits, LONG_CALL_MS } from "./limits.ts";
import { Network } from "./network.ts";
import type { ResultOf } from "./procedures/index.ts";
import { type SaveParameters, saveParameters } from "./saved-state.ts";
import { type ConnectOptions, Session } from "./session.ts";
import { StoragePool } from "./storage-pool.ts";
import { type ParameterValue, parameters } from "./structures.ts";

export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly release: number;
}

/** Which domains capabilities are asked for; the host's defaults for what is left out. */
export interface CapabilityQuery {
  /** Path of the emulator. */
  readonly emulator?: string;
  /** Such as "x86_64". */
  readonly arch?: string;
  /** Machine type, such as "q35". */
  readonly machine?: string;
  /** "kvm" or "qemu". */
  readonly virtType?: string;
}

/** Connects to the daemon that a URI names; rejects with ConnectionLostError or LibvirtError. */
export async function connect(uri: string, options: ConnectOptions = {}): Promise<Connection> {
  const connection = new Connection(uri, options);
  await connection.open(options.signal === undefined ? {} : { signal: options.signal });
  return connection;
}

/**
 * A connection to libvirt. When the daemon goes away, calls under way reject with ConnectionLostError and
 * the next call connects anew: objects stay usable, since the daemon keeps no state for them. Readers of
 * events are registered again and get a gap mark. Every method takes `CallLimits` last, and rejects as
 * `call` does.
 */
export class Connection extends Session {
  async libVersion(limits: CallLimits = {}): Promise<Version> {
    return version((await this.call("connect_get_lib_version", {}, limits)).lib_ver);
  }

  async hypervisorVersion(limits: CallLimits = {}): Promise<Version> {
    return version((await this.call("connect_get_version", {}, limits)).hv_ver);
  }

  async hostname(limits: CallLimits = {}): Promise<string> {
    return (await this.call("connect_get_hostname", {}, limits)).hostname;
  }

  /** Capabilities of the host as XML. */
  async capabilities(limits: CallLimits = {}): Promise<string> {
    return (await this.call("connect_get_capabilities", {}, limits)).capabilities;
  }

  /** What domains of that kind can have, as XML. */
  async domainCapabilities(query: CapabilityQuery = {}, limits: CallLimits = {}): Promise<string> {
    const args = {
      emulatorbin: query.emulator ?? null,
      arch: query.arch ?? null,
      machine: query.machine ?? null,
      virttype: query.virtType ?? null,
      flags: 0,
    };
    return (await this.call("connect_get_domain_capabilities", args, limits)).capabilities;
  }

  /** The host's processors, and in `memory` the KiB of its NUMA nodes. */
  nodeInfo(limits: CallLimits = {}): Promise<ResultOf<"node_get_info">> {
    return this.call("node_get_info", {}, limits);
  }

  /** All that the host has, bytes. `nodeInfo` has what its NUMA nodes have, which can be a good deal less. */
  async totalMemory(limits: CallLimits = {}): Promise<bigint> {
    const all = { cellNum: -1, flags: 0 };
    // Asked for none it tells how many there are, and gives so many only.
    const { nparams } = await this.call("node_get_memory_stats", { ...all, nparams: 0 }, limits);
    const { params } = await this.call("node_get_memory_stats", { ...all, nparams }, limits);
    const total = params.find(({ field }) => field === "total");
    return total === undefined ? (await this.nodeInfo(limits)).memory * 1024n : total.value * 1024n;
  }

  /** Bytes. */
  async freeMemory(limits: CallLimits = {}): Promise<bigint> {
    return (await this.call("node_get_free_memory", {}, limits)).freeMem;
  }

  /** Domains that match `ListDomainsFlags`; all without flags. */
  async listDomains(flags = 0, limits: CallLimits = {}): Promise<Domain[]> {
    const { domains } = await this.call("connect_list_all_domains", { need_results: 1, flags }, limits);
    return domains.map((handle) => new Domain(this, handle));
  }

  /** Rejects with NO_DOMAIN where there is none of that name. */
  async lookupDomainByName(name: string, limits: CallLimits = {}): Promise<Domain> {
    return new Domain(this, (await this.call("domain_lookup_by_name", { name }, limits)).dom);
  }

  /** Rejects with NO_DOMAIN where there is none of that UUID. */
  async lookupDomainByUuid(uuid: string, limits: CallLimits = {}): Promise<Domain> {
    return new Domain(this, (await this.call("domain_lookup_by_uuid", { uuid }, limits)).dom);
  }

  /** The domain of that UUID without asking the daemon, which goes by it alone: its first call tells whether it is there. */
  domainOfUuid(uuid: string): Domain {
    return new Domain(this, { name: uuid, uuid, id: -1 });
  }

  /** Defines a domain, or redefines the one of that UUID. Flags are `DefineFlags`. */
  async defineDomain(xml: string, flags = 0, limits: CallLimits = {}): Promise<Domain> {
    return new Domain(this, (await this.call("domain_define_xml_flags", { xml, flags }, limits)).dom);
  }

  /**
   * Starts the domain whose memory `domain.save` wrote. The file stays.
   * @param path - the file
   * @param xml - what to define the domain as instead, as far as memory as it is allows
   * @param flags - `SaveRestoreFlags`
   */
  async restoreDomain(
    path: string,
    xml: string | null = null,
    flags = 0,
    limits: CallLimits = {},
  ): Promise<void> {
    const args = { from: path, dxml: xml, flags };
    await this.call("domain_restore_flags", args, { timeout: LONG_CALL_MS, ...limits });
  }

  /** As `restoreDomain`, with parameters for more than paths. Flags are `SaveRestoreFlags`. */
  async restoreDomainParams(params: SaveParameters, flags = 0, limits: CallLimits = {}): Promise<void> {
    const args = { params: saveParameters(params), flags };
    await this.call("domain_restore_params", args, { timeout: LONG_CALL_MS, ...limits });
  }

  /** The definition in a file that `domain.save` wrote. Flags are `SaveImageXmlFlags`. */
  async saveImageXml(path: string, flags = 0, limits: CallLimits = {}): Promise<string> {
    return (await this.call("domain_save_image_get_xml_desc", { file: path, flags }, limits)).xml;
  }

  /**
   * Changes the definition in such a file. Flags are RUNNING or PAUSED of `SaveRestoreFlags`: the state to
   * start in.
   */
  async saveImageDefineXml(path: string, xml: string, flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.call("domain_save_image_define_xml", { file: path, dxml: xml, flags }, limits);
  }

  /** Statistics of many domains in one call: `StatsTypes`, `AllDomainStatsFlags`; all domains by default. */
  async allDomainStats(
    stats: number,
    flags = 0,
    domains: readonly Domain[] = [],
    limits: CallLimits = {},
  ): Promise<{ domain: Domain; params: Record<string, ParameterValue> }[]> {
    const doms = domains.map(({ handle }) => handle);
    const { retStats } = await this.call("connect_get_all_domain_stats", { doms, stats, flags }, limits);
    return retStats.map(({ dom, params }) => ({ domain: new Domain(this, dom), params: parameters(params) }));
  }

  /** Networks that match `ListNetworksFlags`; all without flags. */
  async listNetworks(flags = 0, limits: CallLimits = {}): Promise<Network[]> {
    const { nets } = await this.call("connect_list_all_networks", { need_results: 1, flags }, limits);
    return nets.map((handle) => new Network(this, handle));
  }

  /** Rejects with NO_NETWORK where there is none of that name. */
  async lookupNetworkByName(name: string, limits: CallLimits = {}): Promise<Network> {
    return new Network(this, (await this.call("network_lookup_by_name", { name }, limits)).net);
  }

  async defineNetwork(xml: string, limits: CallLimits = {}): Promise<Network> {
    return new Network(this, (await this.call("network_define_xml", { xml }, limits)).net);
  }

  /** Pools that match `ListStoragePoolsFlags`; all without flags. */
  async listStoragePools(flags = 0, limits: CallLimits = {}): Promise<StoragePool[]> {
    const { pools } = await this.call("connect_list_all_storage_pools", { need_results: 1, flags }, limits);
    return pools.map((handle) => new StoragePool(this, handle));
  }

  /** Rejects with NO_STORAGE_POOL where there is none of that name. */
  async lookupStoragePoolByName(name: string, limits: CallLimits = {}): Promise<StoragePool> {
    return new StoragePool(this, (await this.call("storage_pool_lookup_by_name", { name }, limits)).pool);
  }

  async defineStoragePool(xml: string, limits: CallLimits = {}): Promise<StoragePool> {
    return new StoragePool(
      this,
      (await this.call("storage_pool_define_xml", { xml, flags: 0 }, limits)).pool,
    );
  }

  /**
   * Events of one kind, of one domain or of all, from the moment this resolves. The iterable ends with
   * the signal, with `return` or with `close`; after a lost connection it yields `{ kind: "resync" }`.
   * `timeout` limits the registration, not the events.
   */
  async domainEvents<Kind extends DomainEventKind>(
    kind: Kind,
    options: CallLimits & { readonly domain?: Domain } = {},
  ): Promise<AsyncIterable<DomainEvent<Kind> | Gap>> {
    const { domain, ...own } = options;
    const limits = this.limitsOf(own);
    const client = await this.open(limits);
    const { events, cancel } = await this.hub.subscribe(client, kind, domain?.handle ?? null, limits);
    const stop = () => cancel(this.openedClient).catch(() => {});
    limits.signal?.addEventListener("abort", stop, { once: true });
    return (async function* () {
      try {
        yield* events;
      } finally {
        limits.signal?.removeEventListener("abort", stop);
        await stop();
      }
    })();
  }
}

function version(packed: bigint): Version {
  const number = Number(packed);
  return { major: Math.floor(number / 1e6), minor: Math.floor(number / 1e3) % 1000, release: number % 1000 };
}
