import type { ArgumentsOf, Connection, ResultOf } from "../connection.ts";
import { isCode } from "../error-test.ts";
import type { DomainHandle } from "../structures.ts";
import { DomainSnapshot } from "./snapshot.ts";

/** Limit of calls that read or write a guest's memory, whatever that takes, ms. */
const MEMORY = 3_600_000;

/** A domain. Any object of it stays valid until the domain is undefined. */
export class Domain {
  readonly connection: Connection;
  /** What the protocol names it by. The daemon goes by the UUID alone. */
  readonly handle: DomainHandle;

  constructor(connection: Connection, handle: DomainHandle) {
    this.connection = connection;
    this.handle = handle;
  }

  get name(): string {
    return this.handle.name;
  }

  get uuid(): string {
    return this.handle.uuid;
  }

  /** Number of the running domain when this object was made; -1 when it did not run. */
  get id(): number {
    return this.handle.id;
  }

  private get dom(): { dom: DomainHandle } {
    return { dom: this.handle };
  }

  /** The document: of the running domain, or with `DomainXmlFlags.INACTIVE` the one for the next start. */
  async getXml(flags = 0): Promise<string> {
    return (await this.connection.call("domain_get_xml_desc", { ...this.dom, flags })).xml;
  }

  /** `DomainState` and the reason's number. */
  getState(): Promise<ResultOf<"domain_get_state">> {
    return this.connection.call("domain_get_state", { ...this.dom, flags: 0 });
  }

  /** State, CPUs, memory in KiB, CPU time in ns. */
  getInfo(): Promise<ResultOf<"domain_get_info">> {
    return this.connection.call("domain_get_info", this.dom);
  }

  async isActive(): Promise<boolean> {
    return (await this.connection.call("domain_is_active", this.dom)).active !== 0;
  }

  async isPersistent(): Promise<boolean> {
    return (await this.connection.call("domain_is_persistent", this.dom)).persistent !== 0;
  }

  /** Starts it; resumes a managed save. */
  async create(flags = 0): Promise<void> {
    await this.connection.call("domain_create_with_flags", { ...this.dom, flags }, { timeout: MEMORY });
  }

  /** Asks the guest to shut down; does not wait. */
  async shutdown(flags = 0): Promise<void> {
    await this.connection.call("domain_shutdown_flags", { ...this.dom, flags });
  }

  /** Cuts the power. */
  async destroy(flags = 0): Promise<void> {
    await this.connection.call("domain_destroy_flags", { ...this.dom, flags });
  }

  async undefine(flags = 0): Promise<void> {
    await this.connection.call("domain_undefine_flags", { ...this.dom, flags });
  }

  async reboot(flags = 0): Promise<void> {
    await this.connection.call("domain_reboot", { ...this.dom, flags });
  }

  async suspend(): Promise<void> {
    await this.connection.call("domain_suspend", this.dom);
  }

  async resume(): Promise<void> {
    await this.connection.call("domain_resume", this.dom);
  }

  async managedSave(flags = 0): Promise<void> {
    await this.connection.call("domain_managed_save", { ...this.dom, flags }, { timeout: MEMORY });
  }

  async hasManagedSaveImage(): Promise<boolean> {
    return (
      (await this.connection.call("domain_has_managed_save_image", { ...this.dom, flags: 0 })).result !== 0
    );
  }

  async managedSaveRemove(): Promise<void> {
    await this.connection.call("domain_managed_save_remove", { ...this.dom, flags: 0 });
  }

  /** The definition that a managed save starts with; null where there is none. */
  async managedSaveXml(): Promise<string | null> {
    try {
      return (await this.connection.call("domain_managed_save_get_xml_desc", { ...this.dom, flags: 0 })).xml;
    } catch (error) {
      if (isCode(error, "OPERATION_INVALID")) return null;
      throw error;
    }
  }

  async rename(name: string): Promise<void> {
    await this.connection.call("domain_rename", { ...this.dom, new_name: name, flags: 0 });
  }

  async setAutostart(autostart: boolean): Promise<void> {
    await this.connection.call("domain_set_autostart", { ...this.dom, autostart: autostart ? 1 : 0 });
  }

  async getAutostart(): Promise<boolean> {
    return (await this.connection.call("domain_get_autostart", this.dom)).autostart !== 0;
  }

  /** Metadata of a `MetadataType`; null where there is none. */
  async getMetadata(type: number, uri: string | null, flags = 0): Promise<string | null> {
    try {
      return (await this.connection.call("domain_get_metadata", { ...this.dom, type, uri, flags })).metadata;
    } catch (error) {
      if (isCode(error, "NO_DOMAIN_METADATA")) return null;
      throw error;
    }
  }

  /**
   * Sets metadata, or removes it with null. An element comes without the namespace of its own, which
   * libvirt adds from `key` and `uri`. Flags are of `ModificationImpact`.
   */
  async setMetadata(
    type: number,
    metadata: string | null,
    key: string | null,
    uri: string | null,
    flags = 0,
  ): Promise<void> {
    await this.connection.call("domain_set_metadata", { ...this.dom, type, metadata, key, uri, flags });
  }

  async setVcpus(nvcpus: number, flags = 0): Promise<void> {
    await this.connection.call("domain_set_vcpus_flags", { ...this.dom, nvcpus, flags });
  }

  /** KiB. */
  async setMemory(memory: bigint, flags = 0): Promise<void> {
    await this.connection.call("domain_set_memory_flags", { ...this.dom, memory, flags });
  }

  async attachDevice(xml: string, flags = 0): Promise<void> {
    await this.connection.call("domain_attach_device_flags", { ...this.dom, xml, flags });
  }

  async detachDevice(xml: string, flags = 0): Promise<void> {
    await this.connection.call("domain_detach_device_flags", { ...this.dom, xml, flags });
  }

  async updateDevice(xml: string, flags = 0): Promise<void> {
    await this.connection.call("domain_update_device_flags", { ...this.dom, xml, flags });
  }

  /** Allocation, capacity and physical size of a disk, bytes. */
  blockInfo(path: string): Promise<ResultOf<"domain_get_block_info">> {
    return this.connection.call("domain_get_block_info", { ...this.dom, path, flags: 0 });
  }

  /** KiB, or bytes with `BlockResizeFlags.BYTES`. */
  async blockResize(disk: string, size: bigint, flags = 0): Promise<void> {
    await this.connection.call("domain_block_resize", { ...this.dom, disk, size, flags });
  }

  async blockPull(path: string, bandwidth = 0n, flags = 0): Promise<void> {
    await this.connection.call("domain_block_pull", { ...this.dom, path, bandwidth, flags });
  }

  async blockCommit(args: Omit<ArgumentsOf<"domain_block_commit">, "dom">): Promise<void> {
    await this.connection.call("domain_block_commit", { ...this.dom, ...args });
  }

  async blockJobAbort(path: string, flags = 0): Promise<void> {
    await this.connection.call("domain_block_job_abort", { ...this.dom, path, flags });
  }

  /** The job on a disk; `found` is 0 where there is none. */
  blockJobInfo(path: string): Promise<ResultOf<"domain_get_block_job_info">> {
    return this.connection.call("domain_get_block_job_info", { ...this.dom, path, flags: 0 });
  }

  /** Addresses of the interfaces from an `InterfaceAddressesSource`. */
  async interfaceAddresses(source: number): Promise<ResultOf<"domain_interface_addresses">["ifaces"]> {
    return (await this.connection.call("domain_interface_addresses", { ...this.dom, source, flags: 0 }))
      .ifaces;
  }

  /** Sends JSON to the guest agent; -1 is libvirt's own time limit, otherwise seconds. */
  async agentCommand(command: string, timeout = -1): Promise<string | null> {
    const args = { ...this.dom, cmd: command, timeout, flags: 0 };
    return (await this.connection.call("domain_agent_command", args)).result;
  }

  /** Takes a snapshot, or with REDEFINE writes the record of one. */
  async createSnapshot(xml: string, flags = 0): Promise<DomainSnapshot> {
    const args = { ...this.dom, xml_desc: xml, flags };
    return new DomainSnapshot(
      this,
      (await this.connection.call("domain_snapshot_create_xml", args)).snap.name,
    );
  }

  /** In no particular order, unless `SnapshotListFlags.TOPOLOGICAL` is set. */
  async listSnapshots(flags = 0): Promise<DomainSnapshot[]> {
    const args = { ...this.dom, need_results: 1, flags };
    const { snapshots } = await this.connection.call("domain_list_all_snapshots", args);
    return snapshots.map(({ name }) => new DomainSnapshot(this, name));
  }

  async snapshotCount(flags = 0): Promise<number> {
    return (await this.connection.call("domain_snapshot_num", { ...this.dom, flags })).num;
  }

  /** The snapshot of that name without asking the daemon: its first call tells whether it is there. */
  snapshotOfName(name: string): DomainSnapshot {
    return new DomainSnapshot(this, name);
  }

  async lookupSnapshot(name: string): Promise<DomainSnapshot> {
    const args = { ...this.dom, name, flags: 0 };
    return new DomainSnapshot(
      this,
      (await this.connection.call("domain_snapshot_lookup_by_name", args)).snap.name,
    );
  }

  /** Names of the checkpoints that backup tools have left, in no particular order. */
  async listCheckpoints(): Promise<string[]> {
    const args = { ...this.dom, need_results: 1, flags: 0 };
    const { checkpoints } = await this.connection.call("domain_list_all_checkpoints", args);
    return checkpoints.map(({ name }) => name);
  }

  /** The snapshot that is marked as current, or null. */
  async currentSnapshot(): Promise<DomainSnapshot | null> {
    try {
      const { snap } = await this.connection.call("domain_snapshot_current", { ...this.dom, flags: 0 });
      return new DomainSnapshot(this, snap.name);
    } catch (error) {
      if (isCode(error, "NO_DOMAIN_SNAPSHOT")) return null;
      throw error;
    }
  }
}
