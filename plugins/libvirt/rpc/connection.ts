import { setTimeout as delay } from "node:timers/promises";
import type { CallLimits, Client } from "./client.ts";
import { Domain } from "./domain/domain.ts";
import { ConnectionLostError } from "./errors.ts";
import type { Gap } from "./event-queue.ts";
import { type DomainEvent, type DomainEventKind, EventHub } from "./events.ts";
import { openClient } from "./link.ts";
import { Network } from "./network.ts";
import { procedures } from "./procedures/index.ts";
import { StoragePool } from "./storage-pool.ts";
import { type ParameterValue, parameters } from "./structures.ts";
import type { Value } from "./xdr.ts";

type Procedures = typeof procedures;
export type ProcedureName = keyof Procedures;
export type ArgumentsOf<Name extends ProcedureName> = Value<Procedures[Name]["args"]>;
export type ResultOf<Name extends ProcedureName> = Value<Procedures[Name]["result"]>;

export interface ConnectOptions {
  readonly readOnly?: boolean;
  readonly signal?: AbortSignal;
  /** Limit of each call, ms; none by default. */
  readonly timeout?: number;
}

export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly release: number;
}

/** How long a lost connection with readers of events is tried anew, each time twice as long after, ms. */
const FIRST_RETRY = 100;
const LAST_RETRY = 10_000;

/** Connects to the daemon that a URI names; rejects with ConnectionLostError or LibvirtError. */
export async function connect(uri: string, options: ConnectOptions = {}): Promise<Connection> {
  const connection = new Connection(uri, options);
  await connection.open(options.signal);
  return connection;
}

/**
 * A connection to libvirt. When the daemon goes away, calls under way reject with ConnectionLostError and
 * the next call connects anew: objects stay usable, since the daemon keeps no state for them. Readers of
 * events are registered again and get a gap mark.
 */
export class Connection implements AsyncDisposable {
  readonly uri: string;
  private readonly options: ConnectOptions;
  private readonly hub = new EventHub();
  private opening: Promise<Client> | undefined;
  private client: Client | undefined;
  private closed = false;

  constructor(uri: string, options: ConnectOptions = {}) {
    this.uri = uri;
    this.options = options;
  }

  /** The open client, connecting if there is none. */
  async open(signal?: AbortSignal): Promise<Client> {
    if (this.closed) throw new ConnectionLostError("the connection was closed");
    if (this.client?.isOpen) return this.client;
    this.opening ??= this.reopen(signal).finally(() => {
      this.opening = undefined;
    });
    return this.opening;
  }

  private async reopen(signal?: AbortSignal): Promise<Client> {
    const client = await openClient(
      {
        uri: this.uri,
        readOnly: this.options.readOnly === true,
        onEvent: (frame) => this.hub.receive(frame),
      },
      signal,
    );
    this.client = client;
    void client.closed.then(() => this.recover());
    await this.hub.resume(client);
    return client;
  }

  /** Readers of events do not call, so a lost connection is made anew for them. */
  private async recover(): Promise<void> {
    for (let wait = FIRST_RETRY; !this.closed && !this.hub.isEmpty; wait = Math.min(wait * 2, LAST_RETRY)) {
      try {
        await this.open();
        return;
      } catch {
        await delay(wait, undefined, { ref: false });
      }
    }
  }

  /** A second connection of the same kind, for what would hold up this one. */
  sibling(): Promise<Connection> {
    return connect(this.uri, this.options);
  }

  /** Calls any procedure of the table by libvirt's name for it. */
  async call<Name extends ProcedureName>(
    name: Name,
    args: ArgumentsOf<Name>,
    limits: CallLimits = {},
  ): Promise<ResultOf<Name>> {
    const client = await this.open(limits.signal);
    const { timeout } = this.options;
    // Name ties the arguments to the result; TypeScript does not follow it through the table's union.
    const procedure = procedures[name] as unknown as Parameters<
      typeof client.call<ArgumentsOf<Name>, ResultOf<Name>>
    >[0];
    const { result } = await client.call(procedure, args, {
      ...(timeout === undefined ? {} : { timeout }),
      ...limits,
    });
    return result;
  }

  /** Closes for good; readers of events end. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.hub.end();
    const client = this.client;
    if (!client?.isOpen) return;
    await client.call(procedures.connect_close, {}, { timeout: 2000 }).catch(() => {
      // The daemon may have gone first; closed is closed.
    });
    client.end(new ConnectionLostError("the connection was closed"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async libVersion(): Promise<Version> {
    return version((await this.call("connect_get_lib_version", {})).lib_ver);
  }

  async hypervisorVersion(): Promise<Version> {
    return version((await this.call("connect_get_version", {})).hv_ver);
  }

  async hostname(): Promise<string> {
    return (await this.call("connect_get_hostname", {})).hostname;
  }

  /** Capabilities of the host as XML. */
  async capabilities(): Promise<string> {
    return (await this.call("connect_get_capabilities", {})).capabilities;
  }

  /** What domains of that kind can have, as XML. */
  async domainCapabilities(
    o: { emulator?: string; arch?: string; machine?: string; virtType?: string } = {},
  ): Promise<string> {
    const args = {
      emulatorbin: o.emulator ?? null,
      arch: o.arch ?? null,
      machine: o.machine ?? null,
      virttype: o.virtType ?? null,
      flags: 0,
    };
    return (await this.call("connect_get_domain_capabilities", args)).capabilities;
  }

  nodeInfo(): Promise<ResultOf<"node_get_info">> {
    return this.call("node_get_info", {});
  }

  /** All that the host has, bytes. `nodeInfo` tells what its NUMA nodes have, which can be a good deal less. */
  async totalMemory(): Promise<bigint> {
    const all = { cellNum: -1, flags: 0 };
    // Asked for none it tells how many there are, and gives so many only.
    const { nparams } = await this.call("node_get_memory_stats", { ...all, nparams: 0 });
    const { params } = await this.call("node_get_memory_stats", { ...all, nparams });
    const total = params.find(({ field }) => field === "total");
    return total === undefined ? (await this.nodeInfo()).memory * 1024n : total.value * 1024n;
  }

  /** Bytes. */
  async freeMemory(): Promise<bigint> {
    return (await this.call("node_get_free_memory", {})).freeMem;
  }

  /** Domains that match `ListDomainsFlags`; all without flags. */
  async listDomains(flags = 0): Promise<Domain[]> {
    const { domains } = await this.call("connect_list_all_domains", { need_results: 1, flags });
    return domains.map((handle) => new Domain(this, handle));
  }

  async lookupDomainByName(name: string): Promise<Domain> {
    return new Domain(this, (await this.call("domain_lookup_by_name", { name })).dom);
  }

  async lookupDomainByUuid(uuid: string): Promise<Domain> {
    return new Domain(this, (await this.call("domain_lookup_by_uuid", { uuid })).dom);
  }

  /** The domain of that UUID without asking the daemon, which goes by it alone: its first call tells whether it is there. */
  domainOfUuid(uuid: string): Domain {
    return new Domain(this, { name: uuid, uuid, id: -1 });
  }

  /** Defines a domain, or redefines the one of that UUID. */
  async defineDomain(xml: string, flags = 0): Promise<Domain> {
    return new Domain(this, (await this.call("domain_define_xml_flags", { xml, flags })).dom);
  }

  /** Statistics of many domains in one call: `StatsTypes`, `AllDomainStatsFlags`; all domains by default. */
  async allDomainStats(
    stats: number,
    flags = 0,
    domains: readonly Domain[] = [],
  ): Promise<{ domain: Domain; params: Record<string, ParameterValue> }[]> {
    const doms = domains.map(({ handle }) => handle);
    const { retStats } = await this.call("connect_get_all_domain_stats", { doms, stats, flags });
    return retStats.map(({ dom, params }) => ({ domain: new Domain(this, dom), params: parameters(params) }));
  }

  async listNetworks(flags = 0): Promise<Network[]> {
    const { nets } = await this.call("connect_list_all_networks", { need_results: 1, flags });
    return nets.map((handle) => new Network(this, handle));
  }

  async lookupNetworkByName(name: string): Promise<Network> {
    return new Network(this, (await this.call("network_lookup_by_name", { name })).net);
  }

  async defineNetwork(xml: string): Promise<Network> {
    return new Network(this, (await this.call("network_define_xml", { xml })).net);
  }

  async listStoragePools(flags = 0): Promise<StoragePool[]> {
    const { pools } = await this.call("connect_list_all_storage_pools", { need_results: 1, flags });
    return pools.map((handle) => new StoragePool(this, handle));
  }

  async lookupStoragePoolByName(name: string): Promise<StoragePool> {
    return new StoragePool(this, (await this.call("storage_pool_lookup_by_name", { name })).pool);
  }

  async defineStoragePool(xml: string): Promise<StoragePool> {
    return new StoragePool(this, (await this.call("storage_pool_define_xml", { xml, flags: 0 })).pool);
  }

  /**
   * Events of one kind, of one domain or of all, from the moment this resolves. The iterable ends with
   * the signal, with `return` or with `close`; after a lost connection it yields `{ kind: "resync" }`.
   */
  async domainEvents<Kind extends DomainEventKind>(
    kind: Kind,
    options: { readonly domain?: Domain; readonly signal?: AbortSignal } = {},
  ): Promise<AsyncIterable<DomainEvent<Kind> | Gap>> {
    const client = await this.open(options.signal);
    const { events, cancel } = await this.hub.subscribe(client, kind, options.domain?.handle ?? null);
    const stop = () => cancel(this.client).catch(() => {});
    options.signal?.addEventListener("abort", stop, { once: true });
    return (async function* () {
      try {
        yield* events;
      } finally {
        options.signal?.removeEventListener("abort", stop);
        await stop();
      }
    })();
  }
}

function version(packed: bigint): Version {
  const number = Number(packed);
  return { major: Math.floor(number / 1e6), minor: Math.floor(number / 1e3) % 1000, release: number % 1000 };
}
