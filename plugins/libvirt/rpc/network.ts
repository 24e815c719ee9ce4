import type { Connection } from "./connection.ts";
import type { CallLimits } from "./limits.ts";
import type { NetworkHandle } from "./structures.ts";

export interface DhcpLease {
  readonly iface: string;
  /** Seconds since the epoch. */
  readonly expiryTime: bigint;
  readonly mac: string | null;
  readonly ip: string;
  readonly prefix: number;
  readonly hostname: string | null;
  readonly clientId: string | null;
}

/** A virtual network. */
export class Network {
  readonly connection: Connection;
  readonly handle: NetworkHandle;

  constructor(connection: Connection, handle: NetworkHandle) {
    this.connection = connection;
    this.handle = handle;
  }

  get name(): string {
    return this.handle.name;
  }

  get uuid(): string {
    return this.handle.uuid;
  }

  private get net(): { net: NetworkHandle } {
    return { net: this.handle };
  }

  async getXml(flags = 0, limits: CallLimits = {}): Promise<string> {
    return (await this.connection.call("network_get_xml_desc", { ...this.net, flags }, limits)).xml;
  }

  async isActive(limits: CallLimits = {}): Promise<boolean> {
    return (await this.connection.call("network_is_active", this.net, limits)).active !== 0;
  }

  async isPersistent(limits: CallLimits = {}): Promise<boolean> {
    return (await this.connection.call("network_is_persistent", this.net, limits)).persistent !== 0;
  }

  async create(limits: CallLimits = {}): Promise<void> {
    await this.connection.call("network_create", this.net, limits);
  }

  async destroy(limits: CallLimits = {}): Promise<void> {
    await this.connection.call("network_destroy", this.net, limits);
  }

  async undefine(limits: CallLimits = {}): Promise<void> {
    await this.connection.call("network_undefine", this.net, limits);
  }

  async setAutostart(autostart: boolean, limits: CallLimits = {}): Promise<void> {
    await this.connection.call(
      "network_set_autostart",
      { ...this.net, autostart: autostart ? 1 : 0 },
      limits,
    );
  }

  async getAutostart(limits: CallLimits = {}): Promise<boolean> {
    return (await this.connection.call("network_get_autostart", this.net, limits)).autostart !== 0;
  }

  async bridgeName(limits: CallLimits = {}): Promise<string> {
    return (await this.connection.call("network_get_bridge_name", this.net, limits)).name;
  }

  /** Leases of the network's own DHCP server, of one MAC address where it is given. */
  async dhcpLeases(mac: string | null = null, limits: CallLimits = {}): Promise<DhcpLease[]> {
    const args = { ...this.net, mac, need_results: 1, flags: 0 };
    const { leases } = await this.connection.call("network_get_dhcp_leases", args, limits);
    return leases.map((lease) => ({
      iface: lease.iface,
      expiryTime: lease.expirytime,
      mac: lease.mac,
      ip: lease.ipaddr,
      prefix: lease.prefix,
      hostname: lease.hostname,
      clientId: lease.clientid,
    }));
  }
}
